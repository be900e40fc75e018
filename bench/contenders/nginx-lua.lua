-- The job in nginx: token (libcrypto by FFI, and a cache), limit in Redis, organization, audit, backend, body. Debian has
-- no JWT library for it, so this verifies by itself what the benchmark's tokens need: HS256 and RS256.

local ffi = require "ffi"
local cjson = require "cjson.safe"
local lrucache = require "resty.lrucache"
local redis = require "nginx.redis"

ffi.cdef [[
typedef struct evp_pkey_st EVP_PKEY; typedef struct evp_md_st EVP_MD; typedef struct evp_md_ctx_st EVP_MD_CTX;
typedef struct bio_st BIO; typedef struct evp_pkey_ctx_st EVP_PKEY_CTX;
const EVP_MD *EVP_sha256(void);
unsigned char *HMAC(const EVP_MD *md, const void *key, int key_len, const unsigned char *data, size_t n,
  unsigned char *out, unsigned int *out_len);
int CRYPTO_memcmp(const void *a, const void *b, size_t len);
BIO *BIO_new_mem_buf(const void *buf, int len);
EVP_PKEY *PEM_read_bio_PUBKEY(BIO *bp, EVP_PKEY **x, void *cb, void *u);
EVP_MD_CTX *EVP_MD_CTX_new(void);
void EVP_MD_CTX_free(EVP_MD_CTX *ctx);
int EVP_DigestVerifyInit(EVP_MD_CTX *ctx, EVP_PKEY_CTX **pctx, const EVP_MD *type, void *e, EVP_PKEY *pkey);
int EVP_DigestVerify(EVP_MD_CTX *ctx, const unsigned char *sig, size_t siglen, const unsigned char *tbs, size_t tbslen);
]]
local crypto = ffi.load("libcrypto.so.3")

local CACHED_TOKENS = 10000
local WINDOW_SECONDS = 3600
local LIMIT_SCRIPT = [[
local count = redis.call('INCR', KEYS[1])
if count == 1 then redis.call('EXPIRE', KEYS[1], ARGV[1]) end
return {count, redis.call('TTL', KEYS[1])}
]]

local job = {}
local settings, organizations, users, credentials, secret, publicKey, verified, audit

local function readAll(path)
  local file = assert(io.open(path))
  local text = file:read("*a")
  file:close()
  return text
end

function job.init(options)
  settings = options
  local directory = cjson.decode(readAll(options.organizations))
  organizations, users = {}, directory.users
  for _, record in ipairs(directory.organizations) do organizations[record.guid] = record end
  credentials = cjson.decode(readAll(options.credentials))
  local key = readAll(options.key)
  if options.alg == "HS256" then
    secret = key
  else
    publicKey = crypto.PEM_read_bio_PUBKEY(crypto.BIO_new_mem_buf(key, #key), nil, nil, nil)
  end
  verified = lrucache.new(CACHED_TOKENS)
  audit = assert(io.open(options.audit, "a"))
  audit:setvbuf("no")
end

local function decodePart(part)
  local base64 = part:gsub("-", "+"):gsub("_", "/")
  return ngx.decode_base64(base64 .. ("="):rep(-#base64 % 4))
end

local digest, digestLength = ffi.new("unsigned char[64]"), ffi.new("unsigned int[1]")

local function isSigned(input, signature)
  if settings.alg == "HS256" then
    crypto.HMAC(crypto.EVP_sha256(), secret, #secret, input, #input, digest, digestLength)
    return #signature == 32 and crypto.CRYPTO_memcmp(digest, signature, 32) == 0
  end
  local ctx = crypto.EVP_MD_CTX_new()
  local isRight = crypto.EVP_DigestVerifyInit(ctx, nil, crypto.EVP_sha256(), nil, publicKey) == 1
    and crypto.EVP_DigestVerify(ctx, signature, #signature, input, #input) == 1
  crypto.EVP_MD_CTX_free(ctx)
  return isRight
end

local function has(list, wanted)
  for _, value in ipairs(type(list) == "table" and list or {}) do
    if value == wanted then return true end
  end
  return false
end

-- The claims of a token whose signature, audience and caller are right; its times are looked at again on each hit.
local function verify(token)
  local known = verified:get(token)
  if known then return known end
  local header, payload, signature = token:match("^([%w_-]+)%.([%w_-]+)%.([%w_-]+)$")
  if not header then return nil end
  local head = cjson.decode(decodePart(header) or "")
  if type(head) ~= "table" or head.alg ~= settings.alg then return nil end
  if not isSigned(header .. "." .. payload, decodePart(signature) or "") then return nil end
  local claims = cjson.decode(decodePart(payload) or "")
  if type(claims) ~= "table" or type(claims.exp) ~= "number" or type(claims.user_id) ~= "string" then return nil end
  if not has(claims.aud, "cloud_controller") then return nil end
  verified:set(token, claims)
  return claims
end

local function say(status, requestId, body)
  ngx.status = status
  local headers = ngx.header
  headers["Content-Type"] = "application/json;charset=utf-8"
  headers["X-VCAP-Request-ID"] = requestId
  headers["Content-Length"] = #body
  headers["X-Content-Type-Options"] = "nosniff"
  ngx.print(body)
end

local function refuse(status, requestId, code, name, description)
  say(status, requestId, ('{\n  "code": %d,\n  "description": %s,\n  "error_code": "CF-%s"\n}\n')
    :format(code, cjson.encode(description), name))
end

local function toRequestId()
  local id = ngx.var.request_id
  return ("%s-%s-4%s-8%s-%s"):format(id:sub(1, 8), id:sub(9, 12), id:sub(13, 15), id:sub(16, 18), id:sub(19, 30))
end

local function takeUnit(caller)
  local client = redis:new()
  client:set_timeout(300)
  local pool = { pool = "limits", pool_size = 256 }
  if not client:connect("127.0.0.1", tonumber(settings.redisPort), pool) then return nil end
  if client:get_reused_times() == 0 then client:select(settings.redisDatabase) end
  local taken = client:eval(LIMIT_SCRIPT, 1, "nginx:" .. caller, WINDOW_SECONDS)
  client:set_keepalive(60000, 256)
  return taken
end

local UUID = [[^[\da-fA-F]{8}(?:-[\da-fA-F]{4}){3}-[\da-fA-F]{12}$]]

local function toBackendUser(user)
  return users[user] or (ngx.re.find(user, UUID, "jo") and user:lower()) or nil
end

local function quote(value)
  if value == cjson.null then return "null" end
  return cjson.encode(value):gsub("\\/", "/")
end

local function toBody(record)
  local url = "/v2/organizations/" .. record.guid
  local lines = {
    "{", '  "metadata": {',
    '    "guid": ' .. quote(record.guid) .. ",",
    '    "url": "' .. url .. '",',
    '    "created_at": ' .. quote(record.created_at) .. ",",
    '    "updated_at": ' .. quote(record.updated_at),
    "  },", '  "entity": {',
    '    "name": ' .. quote(record.name) .. ",",
    '    "billing_enabled": ' .. quote(record.billing_enabled) .. ",",
    '    "quota_definition_guid": ' .. quote(record.quota_definition_guid) .. ",",
    '    "status": ' .. quote(record.status) .. ",",
    '    "quota_definition_url": "/v2/quota_definitions/' .. record.quota_definition_guid .. '",',
  }
  local names = { "spaces", "domains", "private_domains", "users", "managers", "billing_managers", "auditors",
    "app_events", "space_quota_definitions" }
  for index, name in ipairs(names) do
    lines[#lines + 1] = ('    "%s_url": "%s/%s"%s'):format(name, url, name, index < #names and "," or "")
  end
  lines[#lines + 1] = "  }\n}"
  return table.concat(lines, "\n")
end

local function writeAudit(kind, requestId, claims, guid, user, outcome)
  audit:write(cjson.encode({ audit = kind, at = ngx.utctime(), request_id = requestId, caller = claims.user_id,
    organization = guid, user = user, outcome = outcome }), "\n")
end

function job.answer()
  local requestId = toRequestId()
  local guid, user = ngx.var.uri:match("^/v2/organizations/([^/]+)/users/([^/]+)$")
  if not guid or ngx.req.get_method() ~= "DELETE" then return refuse(404, requestId, 10000, "NotFound", "Unknown request") end
  local scheme, token = (ngx.var.http_authorization or ""):match("^(%S*) ?(.*)$")
  if scheme:lower() ~= "bearer" then return refuse(401, requestId, 10002, "NotAuthenticated", "Authentication error") end
  local claims, now = verify(token), ngx.time()
  if not claims or claims.exp <= now or (claims.nbf or 0) > now then
    return refuse(401, requestId, 1000, "InvalidAuthToken", "Invalid Auth Token")
  end
  local taken = takeUnit(claims.user_id)
  if not taken then
    return refuse(503, requestId, 10015, "ServiceUnavailable", "The organization service is temporarily unavailable.")
  end
  if taken[1] > settings.limit then
    ngx.header["Retry-After"] = taken[2]
    return refuse(429, requestId, 10013, "RateLimitExceeded", "Rate Limit Exceeded")
  end
  local record = organizations[guid]
  if not record then
    return refuse(404, requestId, 30003, "OrganizationNotFound", "The organization could not be found: " .. guid)
  end
  if not has(claims.scope, "cloud_controller.admin") then
    return refuse(403, requestId, 10007, "InsufficientScope", "Your token lacks the necessary scopes to access this resource.")
  end
  local backendUser = toBackendUser(user)
  if not backendUser then
    return refuse(400, requestId, 1002, "InvalidRelation",
      "Invalid relation: Could not find VCAP::CloudController::User with guid: " .. user)
  end
  local body = toBody(record)
  writeAudit("intent", requestId, claims, guid, user)
  local credential = "Bearer " .. credentials[record.backend.credential].token
  local answer = ngx.location.capture("/organization/members/" .. backendUser,
    { method = ngx.HTTP_DELETE, vars = { credential = credential } })
  writeAudit("outcome", requestId, claims, guid, user, answer.status)
  if answer.status ~= 204 then
    return refuse(503, requestId, 10015, "ServiceUnavailable", "The organization service is temporarily unavailable.")
  end
  ngx.header["X-RateLimit-Limit"] = settings.limit
  ngx.header["X-RateLimit-Remaining"] = settings.limit - taken[1]
  say(201, requestId, body)
end

return job
