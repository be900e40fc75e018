/** Signed tokens, and keys to sign them with, for every test. Real signatures, by jose. */
import { generateKeyPairSync, type KeyObject } from 'node:crypto';
import { CompactSign, type JWK } from 'jose';

/** What a token is signed with. `jwk` and `pem` are the public half, where there is one. */
export interface SigningKey {
  readonly alg: string;
  readonly kid: string | undefined;
  readonly sign: KeyObject | Uint8Array;
}

export interface KeyPair extends SigningKey {
  /** With `kid`, `alg` and `use`, as a key set lists it. */
  readonly jwk: JWK;
  /** SPKI. */
  readonly pem: string;
}

export type Claims = Readonly<Record<string, unknown>>;

export function createSecret(secret: string | Uint8Array, alg: 'HS256' | 'HS384' | 'HS512' = 'HS256'): SigningKey {
  return { alg, kid: undefined, sign: typeof secret === 'string' ? new TextEncoder().encode(secret) : secret };
}

export function createRsaKey(
  options: { alg?: 'RS256' | 'RS384' | 'RS512'; kid?: string; bits?: number; exponent?: number } = {},
): KeyPair {
  const { alg = 'RS256', kid, bits = 2048, exponent = 65_537 } = options;
  return toKeyPair(generateKeyPairSync('rsa', { modulusLength: bits, publicExponent: exponent }), alg, kid);
}

export function createEcKey(options: { kid?: string } = {}): KeyPair {
  return toKeyPair(generateKeyPairSync('ec', { namedCurve: 'P-256' }), 'ES256', options.kid);
}

function toKeyPair(
  pair: { publicKey: KeyObject; privateKey: KeyObject },
  alg: string,
  kid: string | undefined,
): KeyPair {
  const jwk: JWK = { ...(pair.publicKey.export({ format: 'jwk' }) as JWK), alg, use: 'sig', ...(kid && { kid }) };
  const pem = pair.publicKey.export({ format: 'pem', type: 'spki' }) as string;
  return { alg, kid, sign: pair.privateKey, jwk, pem };
}

/** The page's claims (legacy-page.txt), but with an end that has not come: an hour from now. */
export function toClaims(changes: Claims = {}): Claims {
  return {
    user_id: 'uaa-id-110',
    email: 'email-86@somedomain.com',
    scope: ['cloud_controller.admin'],
    aud: ['cloud_controller'],
    exp: Math.floor(Date.now() / 1000) + 3600,
    ...changes,
  };
}

/** A compact JWS; claims that are `undefined` are left out. `header` is laid over `alg`, `typ` and the key's `kid`. */
export function signToken(
  claims: Claims | string,
  key: SigningKey,
  header: Readonly<Record<string, unknown>> = {},
): Promise<string> {
  const payload = typeof claims === 'string' ? claims : JSON.stringify(claims);
  return new CompactSign(new TextEncoder().encode(payload))
    .setProtectedHeader({ alg: key.alg, typ: 'JWT', ...(key.kid !== undefined && { kid: key.kid }), ...header })
    .sign(key.sign);
}
