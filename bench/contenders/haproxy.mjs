/** The configuration of haproxy, one thread. No cache of tokens; limits in its own memory, since it speaks to no Redis. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { PAGE } from '../world.mjs';

const COMMON = 'hdr X-VCAP-Request-ID "%[var(txn.id)]" hdr X-Content-Type-Options nosniff';
const JSON_TYPE = 'content-type "application/json;charset=utf-8"';
const UUID = '^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$';

/** Writes it, with the files it reads; returns its path. */
export function toHaproxyConfig({ world, alg, backendUrl, limit, folder, port }) {
  const write = (name, text) => {
    const path = join(folder, name);
    writeFileSync(path, text);
    return path;
  };
  const refuse = (status, code, name, description, more = '') => {
    const body = `${JSON.stringify({ code, description, error_code: `CF-${name}` }, null, 2)}\n`;
    const path = write(`${code}.json`, body);
    return `http-request return status ${status} ${JSON_TYPE} file ${path} ${COMMON} ${more}`;
  };
  const toMap = (name, toValue) =>
    write(name, world.records.map((record) => `${record.guid} ${toValue(record)}\n`).join(''));
  const organizations = toMap('organizations.map', ({ name, created_at, quota_definition_guid, status }) =>
    [name, created_at, quota_definition_guid, status].join('|'),
  );
  const credentials = toMap('credentials.map', ({ backend }) => world.credentials[backend.credential].token);
  const users = write('users.map', `${PAGE.user} ${PAGE.backendUser}\n`);
  const body = write('body.lf', toBodyTemplate());
  const key = alg === 'HS256' ? `"${world.secret}"` : `"${world.path('public.pem')}"`;
  const invalid = refuse(401, 1000, 'InvalidAuthToken', 'Invalid Auth Token');
  const unavailable = refuse(
    503,
    10015,
    'ServiceUnavailable',
    'The organization service is temporarily unavailable.',
  ).replace('http-request', 'http-response');
  return write(
    'haproxy.cfg',
    `global
  nbthread 1
  maxconn 4096
  log stdout format raw local0

defaults
  mode http
  log global
  timeout connect 3s
  timeout client 60s
  timeout server 5s
  http-reuse always

backend limits
  stick-table type string len 64 size 1m expire 1h store http_req_rate(1h)

frontend legacy
  bind 127.0.0.1:${port}
  default_backend backend
  log-format '{"at":"%t","method":"%HM","status":%ST,"ms":%Ta,"caller":"%[var(txn.caller)]","organization":"%[var(txn.guid)]","request_id":"%[var(txn.id)]"}'
  http-request set-var(txn.id) uuid
  ${refuse(404, 10000, 'NotFound', 'Unknown request')} unless METH_DELETE { path_reg ^/v2/organizations/[^/]+/users/[^/]+$ }
  ${refuse(401, 10002, 'NotAuthenticated', 'Authentication error')} unless { req.hdr(authorization) -i -m beg "bearer " }
  http-request set-var(txn.token) req.hdr(authorization),word(2," ")
  http-request set-var(txn.alg) var(txn.token),jwt_header_query('$.alg')
  ${invalid} unless { var(txn.alg) -m str ${alg} }
  ${invalid} unless { var(txn.token),jwt_verify("${alg}",${key}) -m int 1 }
  http-request set-var(txn.now) date()
  http-request set-var(txn.left) var(txn.token),jwt_payload_query('$.exp','int'),sub(txn.now)
  ${invalid} unless { var(txn.left) -m int gt 0 }
  http-request set-var(txn.wait) var(txn.token),jwt_payload_query('$.nbf','int'),sub(txn.now)
  ${invalid} if { var(txn.wait) -m int gt 0 }
  ${invalid} unless { var(txn.token),jwt_payload_query('$.aud[0]') -m str cloud_controller }
  http-request set-var(txn.caller) var(txn.token),jwt_payload_query('$.user_id')
  ${invalid} unless { var(txn.caller) -m len gt 0 }
  http-request track-sc0 var(txn.caller) table limits
  ${refuse(429, 10013, 'RateLimitExceeded', 'Rate Limit Exceeded', 'hdr Retry-After 3600')} if { sc_http_req_rate(0,limits) gt ${Math.min(limit, 2 ** 31 - 1)} }
  http-request set-var(txn.guid) path,field(4,/)
  http-request set-var(txn.record) var(txn.guid),map_str(${organizations})
  ${refuse(404, 30003, 'OrganizationNotFound', 'The organization could not be found')} unless { var(txn.record) -m found }
  ${refuse(403, 10007, 'InsufficientScope', 'Your token lacks the necessary scopes to access this resource.')} unless { var(txn.token),jwt_payload_query('$.scope[0]') -m str cloud_controller.admin }
  http-request set-var(txn.user) path,field(6,/),map_str(${users})
  http-request set-var(txn.user) path,field(6,/),lower unless { var(txn.user) -m found }
  ${refuse(400, 1002, 'InvalidRelation', 'Invalid relation: Could not find the user')} unless { var(txn.user) -m reg ${UUID} }
  http-request set-path "/organization/members/%[var(txn.user)]"
  http-request set-header Authorization "Bearer %[var(txn.guid),map_str(${credentials})]"
  http-request set-header X-Request-Id "%[var(txn.id)]"

backend backend
  server one ${new URL(backendUrl).host}
  http-response return status 201 ${JSON_TYPE} lf-file ${body} ${COMMON} if { status 204 }
  ${unavailable}
`,
  );
}

/** A log-format: \`%[…]\` is filled in for each answer. */
function toBodyTemplate() {
  const field = (index) => `%[var(txn.record),field(${index},|)]`;
  const url = '/v2/organizations/%[var(txn.guid)]';
  const names = ['spaces', 'domains', 'private_domains', 'users', 'managers', 'billing_managers', 'auditors'];
  const urls = [...names, 'app_events', 'space_quota_definitions'].map((name) => `    "${name}_url": "${url}/${name}"`);
  return `{
  "metadata": {
    "guid": "%[var(txn.guid)]",
    "url": "${url}",
    "created_at": "${field(2)}",
    "updated_at": null
  },
  "entity": {
    "name": "${field(1)}",
    "billing_enabled": false,
    "quota_definition_guid": "${field(3)}",
    "status": "${field(4)}",
    "quota_definition_url": "/v2/quota_definitions/${field(3)}",
${urls.join(',\n')}
  }
}`;
}
