/** LEGACY_TOKEN_SECRET: one secret shared with whoever signs the tokens (decisions.md, section 4). */
import type { KeyRing } from '../policy/authenticate.ts';
import { createFixedKeyRing, createVerificationKey, type TokenAlgorithm } from './verification-key.ts';

/** A key shorter than its hash weakens the hash (RFC 7518, section 3.2); HS256 is the smallest there is. */
export const MIN_SECRET_BYTES = 32;

const HASH_BYTES: readonly (readonly [TokenAlgorithm, number])[] = [
  ['HS256', MIN_SECRET_BYTES],
  ['HS384', 48],
  ['HS512', 64],
];

/** A secret of fewer than MIN_SECRET_BYTES verifies nothing; `config.ts` refuses it. */
export function createSecretKeyRing(secret: Uint8Array): KeyRing<unknown> {
  const fitting = HASH_BYTES.filter(([, bytes]) => secret.length >= bytes).map(([alg]) => alg);
  return createFixedKeyRing([createVerificationKey(secret, fitting)]);
}
