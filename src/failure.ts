/**
 * Everything that can go wrong with a request, as facts. No status, code or sentence of the legacy contract stands here:
 * `legacy/errors.ts` translates, and does not compile until every kind below has a translation.
 * A failure is a value; a throw is a bug. Imports nothing.
 */
export type Failure =
  /** No operation answers this method and path. */
  | { readonly kind: 'route-unknown' }
  /** The request breaks HTTP itself, or a rule of the listener. */
  | { readonly kind: 'request-invalid'; readonly reason: string }
  | { readonly kind: 'body-too-large'; readonly limitBytes: number }
  /** No bearer token was presented: no Authorization header, or one of another scheme. */
  | { readonly kind: 'token-missing' }
  /** `reason` is for the log; it never holds any part of the token. */
  | { readonly kind: 'token-invalid'; readonly reason: string }
  | { readonly kind: 'rate-limited'; readonly subject: RateLimitSubject; readonly retryAfterSeconds: number }
  | { readonly kind: 'query-invalid'; readonly parameter: 'inline-relations-depth' }
  | { readonly kind: 'organization-unknown'; readonly organization: string }
  | { readonly kind: 'scope-missing'; readonly scope: string }
  | { readonly kind: 'access-denied'; readonly reason: 'not-a-manager' | 'organization-not-active' }
  | { readonly kind: 'user-unknown'; readonly user: string }
  | { readonly kind: 'last-manager' }
  /** The backend refused the removal although the caller may ask for it: an owner, say. */
  | { readonly kind: 'backend-forbidden' }
  /** The backend called our own request malformed. */
  | { readonly kind: 'backend-rejected-request' }
  | { readonly kind: 'backend-rate-limited'; readonly retryAfterSeconds: number }
  /** Something this request needs does not answer, or must not be used as it is. `reason` is for the log. */
  | { readonly kind: 'unavailable'; readonly dependency: Dependency; readonly reason: string }
  /** The request has been through Holdover before: the origin points back at it. */
  | { readonly kind: 'proxy-loop' }
  | { readonly kind: 'unexpected'; readonly reason: string };

/** Whose quota is spent. */
export type RateLimitSubject = 'caller' | 'address' | 'organization';

export type Dependency = 'redis' | 'directory' | 'key-set' | 'backend' | 'origin';

export interface Failed {
  readonly ok: false;
  readonly failure: Failure;
}

export type Result<Value> = { readonly ok: true; readonly value: Value } | Failed;

export const succeed = <Value>(value: Value): Result<Value> => ({ ok: true, value });

export const fail = (failure: Failure): Failed => ({ ok: false, failure });
