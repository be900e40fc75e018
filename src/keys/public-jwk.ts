/** Which public keys may verify tokens: their kind, strength and algorithms, wherever they came from. Pure. */
import { base64url } from 'jose';
import type { PublicJwk, TokenAlgorithm } from './verification-key.ts';

export type FitKey =
  | { readonly isFit: true; readonly jwk: PublicJwk; readonly algorithms: readonly TokenAlgorithm[] }
  /** `mistake` reads after "the key is …"; it holds nothing of the key but its kind and size. */
  | { readonly isFit: false; readonly mistake: string };

/** Below this RSA is within reach of factoring (NIST SP 800-131A; RFC 7518, section 3.3). */
const MIN_RSA_BITS = 2048;

/** With exponent 1 anybody's text is its own signature; an even one is no RSA exponent. */
const MIN_RSA_EXPONENT = 3n;

const RSA_ALGORITHMS: readonly TokenAlgorithm[] = ['RS256', 'RS384', 'RS512'];
const EC_ALGORITHMS: readonly TokenAlgorithm[] = ['ES256'];

/** What a JWK, or a key exported as one, must bring. Everything else in it is left behind. */
export interface JwkMembers {
  readonly kty?: unknown;
  readonly n?: unknown;
  readonly e?: unknown;
  readonly crv?: unknown;
  readonly x?: unknown;
  readonly y?: unknown;
}

export function toFitKey(members: JwkMembers): FitKey {
  if (members.kty === 'RSA') return toFitRsaKey(members);
  if (members.kty === 'EC') return toFitEcKey(members);
  return refuse('of a kind other than RSA and EC');
}

function toFitRsaKey({ n, e }: JwkMembers): FitKey {
  const modulus = parseInteger(n);
  const exponent = parseInteger(e);
  if (modulus === undefined || exponent === undefined) return refuse('an RSA key without a readable n and e');
  const bits = modulus.toString(2).length;
  if (bits < MIN_RSA_BITS) return refuse(`an RSA key of ${bits} bits, where at least ${MIN_RSA_BITS} are needed`);
  if (exponent < MIN_RSA_EXPONENT || exponent % 2n === 0n)
    return refuse('an RSA key whose exponent is even or below 3');
  // Written anew, since UAA's Java puts a zero byte in front of n: one key has one thumbprint.
  const jwk = { kty: 'RSA', n: toBase64url(modulus), e: toBase64url(exponent) } as const;
  return { isFit: true, jwk, algorithms: RSA_ALGORITHMS };
}

function toFitEcKey({ crv, x, y }: JwkMembers): FitKey {
  if (crv !== 'P-256') return refuse('an EC key on a curve other than P-256');
  if (typeof x !== 'string' || typeof y !== 'string') return refuse('an EC key without x and y');
  return { isFit: true, jwk: { kty: 'EC', crv, x, y }, algorithms: EC_ALGORITHMS };
}

function refuse(mistake: string): FitKey {
  return { isFit: false, mistake };
}

/** Base64urlUInt (RFC 7518, section 2). */
function parseInteger(value: unknown): bigint | undefined {
  if (typeof value !== 'string' || value === '') return undefined;
  try {
    return BigInt(`0x${Buffer.from(base64url.decode(value)).toString('hex')}`);
  } catch {
    return undefined;
  }
}

function toBase64url(integer: bigint): string {
  const hex = integer.toString(16);
  return Buffer.from(hex.padStart(hex.length + (hex.length % 2), '0'), 'hex').toString('base64url');
}
