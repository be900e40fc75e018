/**
 * Who is calling: from the value of the Authorization header to a Caller (decisions.md, section 4). Here: the token as a
 * whole, the key that signed it, the memory of tokens verified before. Elsewhere: what its claims must say (`claims.ts`),
 * where keys come from (`keys/`), who may do what (`authorize.ts`).
 */
import { base64url, type CryptoKey, compactVerify, errors } from 'jose';
import { LRUCache } from 'lru-cache';
import { fail, type Result, succeed } from '../failure.ts';
import type { MaybePromise } from '../maybe-promise.ts';
import { type ClaimRules, decideClaims, decideLifetime, type Grant, refuseToken } from './claims.ts';

/** Whoever a verified token speaks for. */
export interface Caller {
  /** `user_id`, else `client_id`: 1 to 255 characters. */
  readonly id: string;
  readonly clientId: string | undefined;
  readonly scopes: ReadonlySet<string>;
}

/** `authorization` is the header's value. A plain Result where nothing has to be waited for. Fails with `token-missing`, `token-invalid`, or `unavailable` (key set). */
export type Authenticate = (authorization: string | undefined) => MaybePromise<Result<Caller>>;

/** The keys tokens may be signed with. `Scope` is what an implementation needs of the request, if anything. */
export interface KeyRing<Scope> {
  /**
   * The keys that may have signed a token with this header, to be tried in turn; none where no key fits. Fails only
   * with `unavailable`. A plain Result where nothing has to be waited for.
   */
  find(header: TokenHeader, scope: Scope): MaybePromise<Result<readonly VerificationKey[]>>;
  /** Whether `key`, found here before, still counts. May begin a refresh in the background. */
  isCurrent(key: VerificationKey, scope: Scope): boolean;
}

/** The same object for as long as the same key counts: what it verified is forgotten when it goes. */
export interface VerificationKey {
  /** The JWS algorithms it verifies. They belong to the key, never to the token. */
  readonly algorithms: ReadonlySet<string>;
  /** The key as imported for `alg`, one of `algorithms`. */
  toCryptoKey(alg: string): MaybePromise<CryptoKey>;
}

/** What is read of the protected header. `jku`, `jwk`, `x5u`, `x5c` and the like have no power here: nobody reads them. */
export interface TokenHeader {
  readonly alg: string;
  readonly kid: string | undefined;
}

export interface AuthenticateOptions<Scope> extends ClaimRules {
  readonly keys: KeyRing<Scope>;
  /** Seconds since the epoch. */
  readonly epochSeconds: () => number;
  /** The SHA-256 of `text` in any printable encoding. */
  readonly sha256: (text: string) => string;
  /** Called once for each token looked up among those verified before. */
  readonly onCacheLookup: (isHit: boolean) => void;
}

/** Bounds the memory: about 1 KiB each. An LRU, so that a flood of fresh tokens costs verifications, never more memory. */
export const MAX_CACHED_TOKENS = 10_000;

/** More than a deployment has; beyond, tokens hold their own. */
const MAX_SHARED_SCOPES = 100;

/** Far above any real token (about 1 KiB), far below what would be worth an attacker's bytes. */
export const MAX_TOKEN_BYTES = 16 * 1024;

/** Three base64url parts, none empty: nothing else reaches the verifier. ASCII, so its length is its bytes. */
const COMPACT_JWS = /^[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]+){2}$/;

/** The scheme is a token (RFC 9110, section 11.1): `Bearerish` is another scheme, `Bearer,x` a malformed one of ours. */
const BEARER_SCHEME = /^bearer(?![\w!#$%&'*+.^`|~-])/i;

interface VerifiedToken extends Grant {
  readonly key: VerificationKey;
}

/** The scope of the request is handed to the key ring with each call. */
export function createAuthenticate<Scope>(
  options: AuthenticateOptions<Scope>,
): (authorization: string | undefined, scope: Scope) => ReturnType<Authenticate> {
  const { keys, epochSeconds } = options;
  const verifiedTokens = new LRUCache<string, VerifiedToken>({ max: MAX_CACHED_TOKENS });
  const sharedScopes = new LRUCache<string, ReadonlySet<string>>({ max: MAX_SHARED_SCOPES });

  const verify = async (token: string, scope: Scope): Promise<Result<VerifiedToken>> => {
    const header = parseHeader(token);
    if (header === undefined) return refuseToken('header-unreadable');
    const found = await keys.find(header, scope);
    if (!found.ok) {
      // A token that its own claims refuse is refused, key or no key.
      const judged = judge(parseSegment(token.split('.')[1]));
      return judged.ok ? found : judged;
    }
    const fitting = found.value.filter((key) => key.algorithms.has(header.alg));
    if (fitting.length === 0) return refuseToken('key-unknown');
    const signed = await findSigner(token, header.alg, fitting);
    if (signed === undefined) return refuseToken('signature-wrong');
    const judged = judge(parseObject(signed.payload));
    return judged.ok ? succeed({ ...judged.value, key: signed.key }) : judged;
  };

  const judge = (claims: Readonly<Record<string, unknown>> | undefined): Result<Grant> =>
    claims === undefined ? refuseToken('claims-unreadable') : decideClaims(claims, options, epochSeconds());

  const verifyAndKeep = async (token: string, digest: string, scope: Scope): Promise<Result<Caller>> => {
    const verified = await verify(token, scope);
    if (!verified.ok) return verified;
    const { caller } = verified.value;
    verifiedTokens.set(digest, { ...verified.value, caller: { ...caller, scopes: share(caller.scopes) } });
    return succeed(caller);
  };

  /** The callers of a deployment have one of a few sets of scopes, which would be half of what is kept of a token. */
  const share = (scopes: ReadonlySet<string>): ReadonlySet<string> => {
    const key = JSON.stringify([...scopes]);
    const shared = sharedScopes.get(key);
    if (shared === undefined) sharedScopes.set(key, scopes);
    return shared ?? scopes;
  };

  return (authorization, scope) => {
    const presented = parseBearer(authorization);
    if (!presented.ok) return presented;
    const token = presented.value;
    // The text itself is a credential, and is kept nowhere.
    const digest = options.sha256(token);
    const known = verifiedTokens.get(digest);
    const isHit = known !== undefined && keys.isCurrent(known.key, scope);
    options.onCacheLookup(isHit);
    if (!isHit) return verifyAndKeep(token, digest, scope);
    const lifetime = decideLifetime(known, epochSeconds());
    if (lifetime.ok) return succeed(known.caller);
    verifiedTokens.delete(digest);
    return lifetime;
  };
}

/** The token of a bearer credential: exactly one space, then a compact JWS. Fails with `token-missing` or `token-invalid`. */
function parseBearer(authorization: string | undefined): Result<string> {
  if (authorization === undefined || !BEARER_SCHEME.test(authorization)) return fail({ kind: 'token-missing' });
  const token = authorization.slice('bearer '.length);
  if (token.length > MAX_TOKEN_BYTES) return refuseToken('too-long');
  if (authorization.charAt('bearer'.length) !== ' ' || !COMPACT_JWS.test(token))
    return refuseToken('not-a-compact-jws');
  return succeed(token);
}

function parseHeader(token: string): TokenHeader | undefined {
  const header = parseSegment(token.split('.')[0]);
  if (header === undefined) return undefined;
  const { alg, kid } = header;
  // `crit` names extensions that change what is signed or how; none is understood here (RFC 7515, section 4.1.11), and
  // an unencoded payload (`b64`) is no JWT (RFC 7797, section 7).
  if ('crit' in header || 'b64' in header) return undefined;
  if (typeof alg !== 'string' || (kid !== undefined && typeof kid !== 'string')) return undefined;
  return { alg, kid };
}

async function findSigner(
  token: string,
  alg: string,
  fitting: readonly VerificationKey[],
): Promise<{ readonly key: VerificationKey; readonly payload: Uint8Array } | undefined> {
  for (const key of fitting) {
    const cryptoKey = await key.toCryptoKey(alg);
    try {
      const { payload } = await compactVerify(token, cryptoKey, { algorithms: [...key.algorithms] });
      return { key, payload };
    } catch (error) {
      if (!(error instanceof errors.JOSEError)) throw error;
    }
  }
  return undefined;
}

const utf8 = new TextDecoder('utf-8', { fatal: true });

/** The JSON object that a part of the token encodes. */
function parseSegment(segment = ''): Readonly<Record<string, unknown>> | undefined {
  try {
    return parseObject(base64url.decode(segment));
  } catch {
    return undefined;
  }
}

function parseObject(json: Uint8Array): Readonly<Record<string, unknown>> | undefined {
  try {
    const parsed: unknown = JSON.parse(utf8.decode(json));
    const isObject = typeof parsed === 'object' && parsed !== null && !Array.isArray(parsed);
    return isObject ? (parsed as Record<string, unknown>) : undefined;
  } catch {
    return undefined;
  }
}
