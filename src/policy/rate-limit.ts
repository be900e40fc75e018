/**
 * How a limit is decided: GCRA over one number per key, the moment at which its quota will be whole again (decisions.md,
 * section 7). Pure. Who asks, and what happens when a store cannot say: `rate-limiter.ts`. The stores:
 * `local-limit-store.ts` and `../redis/limiter.ts`, whose script repeats `spend` in Lua.
 */
import type { RateLimitSubject, Result } from '../failure.ts';
import type { MaybePromise } from '../maybe-promise.ts';

/** `N/period`: N requests in a burst, and N more each period, one by one. */
export interface Quota {
  readonly limit: number;
  readonly periodSeconds: number;
}

/** What a limit said of one request; where it was not refused, one unit is spent. */
export interface Verdict {
  readonly isAllowed: boolean;
  /** N of `N/period`. */
  readonly limit: number;
  readonly remaining: number;
  /** When the full quota is back: seconds since the epoch. */
  readonly resetAtSeconds: number;
  /** Whole seconds until a request would be allowed, at least 1; 0 where this one was. */
  readonly retryAfterSeconds: number;
}

/**
 * Takes one unit from the quota of `key`. Succeeds with a verdict, allowed or not; with `undefined` where that subject
 * has no limit. Fails only with `unavailable` (Redis is gone and RATE_LIMIT_ON_FAILURE is `closed`). A plain Result where
 * nothing has to be waited for.
 */
export type TakeQuota = (subject: RateLimitSubject, key: string) => MaybePromise<Result<Verdict | undefined>>;

/** Where the numbers are kept. It counts and nothing else: one step per call, however many call at once. */
export interface LimitStore {
  /** Takes one unit if there is one. Rejects when it cannot say, and then may or may not have taken it. */
  take(key: string, quota: Quota): Promise<Decision>;
}

export interface Decision {
  readonly isAllowed: boolean;
  /** Microseconds from `atMicros` until the full quota is back. */
  readonly fullInMicros: number;
  /** When it was decided, by the store's clock: microseconds since the epoch. */
  readonly atMicros: number;
}

const MICROS_PER_SECOND = 1_000_000;

/** One unit comes back every so many microseconds. Rounded up: the rate is never above N a period. */
export function toUnitMicros({ limit, periodSeconds }: Quota): number {
  return Math.ceil((periodSeconds * MICROS_PER_SECOND) / limit);
}

/** How long an empty quota takes to be whole again. */
export function toWindowMicros(quota: Quota): number {
  return quota.limit * toUnitMicros(quota);
}

/**
 * One request at `nowMicros`. `fullAtMicros` is what is kept for the key, undefined for a key not seen before (or so long
 * ago that its quota is whole); the new one is to be kept whether or not the request is allowed.
 */
export function spend(
  fullAtMicros: number | undefined,
  nowMicros: number,
  quota: Quota,
): { isAllowed: boolean; fullAtMicros: number } {
  const latest = nowMicros + toWindowMicros(quota);
  // Beyond `latest` only if the quota was changed or the clock was set back: then it counts as just empty, not as empty for longer.
  const kept = Math.min(Math.max(fullAtMicros ?? nowMicros, nowMicros), latest);
  const spent = kept + toUnitMicros(quota);
  return spent <= latest ? { isAllowed: true, fullAtMicros: spent } : { isAllowed: false, fullAtMicros: kept };
}

/** Microseconds from the decision until a request will be allowed; 0 where one would be at once. */
export function toRetryMicros({ fullInMicros }: Decision, quota: Quota): number {
  return Math.max(0, fullInMicros + toUnitMicros(quota) - toWindowMicros(quota));
}

export function toVerdict(decision: Decision, quota: Quota): Verdict {
  const { isAllowed, fullInMicros, atMicros } = decision;
  return {
    isAllowed,
    limit: quota.limit,
    remaining: Math.floor((toWindowMicros(quota) - fullInMicros) / toUnitMicros(quota)),
    resetAtSeconds: Math.ceil((atMicros + fullInMicros) / MICROS_PER_SECOND),
    retryAfterSeconds: isAllowed ? 0 : Math.max(1, Math.ceil(toRetryMicros(decision, quota) / MICROS_PER_SECOND)),
  };
}
