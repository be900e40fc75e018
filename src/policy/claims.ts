/**
 * What the claims of a token must say (decisions.md, section 4; legacy.md, section 6). Pure: the time is handed in.
 * Whose signature they carry is `authenticate.ts`'s matter.
 */
import { fail, type Result, succeed } from '../failure.ts';

export interface ClaimRules {
  /** What `iss` must equal; undefined: not checked. */
  readonly issuer: string | undefined;
  /** The element `aud` must hold. */
  readonly audience: string;
}

/** What good claims grant, and for how long. Times are seconds since the epoch. */
export interface Grant {
  readonly caller: { readonly id: string; readonly clientId: string | undefined; readonly scopes: ReadonlySet<string> };
  readonly expiresAt: number;
  readonly notBefore: number | undefined;
}

/** Why a token was refused: a word for the log, which never holds any part of the token. */
export type TokenFault =
  | 'not-a-compact-jws'
  | 'too-long'
  | 'header-unreadable'
  | 'key-unknown'
  | 'signature-wrong'
  | 'claims-unreadable'
  | 'expired'
  | 'not-yet-valid'
  | 'audience-wrong'
  | 'issuer-wrong'
  | 'refresh-token'
  | 'caller-missing';

export const refuseToken = (reason: TokenFault): Result<never> => fail({ kind: 'token-invalid', reason });

/** The legacy database column of a user's guid. */
const MAX_CALLER_CHARACTERS = 255;

/** Fails with `token-invalid` only. `nowSeconds` is since the epoch. */
export function decideClaims(
  claims: Readonly<Record<string, unknown>>,
  rules: ClaimRules,
  nowSeconds: number,
): Result<Grant> {
  const { exp, nbf, aud, iss, jti, scope } = claims;
  // A token that never says when it ends has ended.
  if (typeof exp !== 'number' || !Number.isInteger(exp)) return refuseToken('expired');
  if (nbf !== undefined && typeof nbf !== 'number') return refuseToken('not-yet-valid');
  const lifetime = decideLifetime({ expiresAt: exp, notBefore: nbf }, nowSeconds);
  if (!lifetime.ok) return lifetime;
  if (!isAudience(aud, rules.audience)) return refuseToken('audience-wrong');
  if (rules.issuer !== undefined && iss !== rules.issuer) return refuseToken('issuer-wrong');
  // UAA signs refresh tokens with the same key: only the end of their id tells them from access tokens.
  if (jti !== undefined && (typeof jti !== 'string' || jti.endsWith('-r'))) return refuseToken('refresh-token');
  const id = claims['user_id'] ?? claims['client_id'];
  if (!isCallerId(id)) return refuseToken('caller-missing');
  const clientId = isCallerId(claims['client_id']) ? claims['client_id'] : undefined;
  return succeed({ caller: { id, clientId, scopes: toScopes(scope) }, expiresAt: exp, notBefore: nbf });
}

/** No leeway, as in the legacy server. Fails with `token-invalid` only. */
export function decideLifetime(lifetime: Pick<Grant, 'expiresAt' | 'notBefore'>, nowSeconds: number): Result<void> {
  if (lifetime.expiresAt <= nowSeconds) return refuseToken('expired');
  if (lifetime.notBefore !== undefined && lifetime.notBefore > nowSeconds) return refuseToken('not-yet-valid');
  return succeed(undefined);
}

/** Whole elements only: `cloud_controller_ng` is no `cloud_controller`. */
function isAudience(aud: unknown, audience: string): boolean {
  if (typeof aud === 'string') return aud.split(' ').includes(audience);
  return Array.isArray(aud) && aud.includes(audience);
}

function isCallerId(value: unknown): value is string {
  return typeof value === 'string' && value.length > 0 && value.length <= MAX_CALLER_CHARACTERS;
}

/** A string is no list of scopes here, not even a space-separated one: the legacy server read only arrays. */
function toScopes(scope: unknown): ReadonlySet<string> {
  const isList = Array.isArray(scope) && scope.every((element) => typeof element === 'string');
  return new Set<string>(isList ? scope : []);
}
