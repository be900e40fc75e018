/**
 * A key ready to verify tokens, made from a secret or a public JWK that was found fit before (`secret.ts`,
 * `public-jwk.ts`), and the ring of keys that never change.
 */
import type { CryptoKey } from 'jose';
import { succeed } from '../failure.ts';
import type { KeyRing, VerificationKey } from '../policy/authenticate.ts';

/** As WebCrypto names each algorithm on import. A PSS signature, say, fits none of these keys. */
const IMPORT_PARAMETERS = {
  HS256: { name: 'HMAC', hash: 'SHA-256' },
  HS384: { name: 'HMAC', hash: 'SHA-384' },
  HS512: { name: 'HMAC', hash: 'SHA-512' },
  RS256: { name: 'RSASSA-PKCS1-v1_5', hash: 'SHA-256' },
  RS384: { name: 'RSASSA-PKCS1-v1_5', hash: 'SHA-384' },
  RS512: { name: 'RSASSA-PKCS1-v1_5', hash: 'SHA-512' },
  ES256: { name: 'ECDSA', namedCurve: 'P-256' },
} as const;

export type TokenAlgorithm = keyof typeof IMPORT_PARAMETERS;

/** The members of a JWK that are the public key itself, and no others. */
export type PublicJwk =
  | { readonly kty: 'RSA'; readonly n: string; readonly e: string }
  | { readonly kty: 'EC'; readonly crv: 'P-256'; readonly x: string; readonly y: string };

/** `toCryptoKey` rejects where the runtime refuses the material: a point that is not on its curve, say. */
export function createVerificationKey(
  material: Uint8Array | PublicJwk,
  algorithms: readonly TokenAlgorithm[],
): VerificationKey {
  const ready = new Map<string, CryptoKey>();
  // Imported once and kept. What is kept is the key, not the promise: one that another request waits for may never
  // settle on Workers.
  const importFor = async (alg: string): Promise<CryptoKey> => {
    const parameters = IMPORT_PARAMETERS[alg as TokenAlgorithm];
    const cryptoKey =
      material instanceof Uint8Array
        ? await crypto.subtle.importKey('raw', material, parameters, false, ['verify'])
        : await crypto.subtle.importKey('jwk', material, parameters, false, ['verify']);
    ready.set(alg, cryptoKey);
    return cryptoKey;
  };
  return {
    algorithms: new Set(algorithms),
    toCryptoKey: (alg) => ready.get(alg) ?? importFor(alg),
  };
}

/** Keys from the configuration: current for as long as the process lives. A token's `kid` means nothing to them. */
export function createFixedKeyRing(keys: readonly VerificationKey[]): KeyRing<unknown> {
  const current = new Set(keys);
  return {
    find: ({ alg }) => succeed(keys.filter((key) => key.algorithms.has(alg))),
    isCurrent: (key) => current.has(key),
  };
}
