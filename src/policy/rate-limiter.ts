/**
 * Who decides a limit: Redis, the memory of what it refused, or, while it does not answer, RATE_LIMIT_ON_FAILURE.
 * The arithmetic: `rate-limit.ts`. An outage of Redis must neither stop requests nor slow them down, so behind the
 * first failures stands a breaker.
 */
import { LRUCache } from 'lru-cache';
import { Breaker } from '../breaker.ts';
import { fail, type RateLimitSubject, type Result, succeed } from '../failure.ts';
import type { Scope } from '../scope.ts';
import type { Log } from '../telemetry/log.ts';
import type { Meter } from '../telemetry/meter.ts';
import {
  type Decision,
  type LimitStore,
  type Quota,
  type TakeQuota,
  toRetryMicros,
  toVerdict,
  type Verdict,
} from './rate-limit.ts';

export interface RateLimiterOptions {
  /** A subject without a quota is not limited. */
  readonly quotas: Readonly<Record<RateLimitSubject, Quota | undefined>>;
  /** The shared store, through the client of that scope; undefined without REDIS_URL. */
  readonly openStore: ((scope: Scope) => LimitStore) | undefined;
  readonly local: LimitStore;
  /** Subjects that are never counted in the shared store. On Workers `address`: a flood must not open connections. */
  readonly localSubjects: readonly RateLimitSubject[];
  readonly onFailure: 'local' | 'open' | 'closed';
  readonly monotonicMs: () => number;
  readonly log: Log;
  readonly meter: Meter;
}

/** So many failures in a row, and for so long nothing more is asked of Redis; then one request tries. */
const FAILURES_TO_OPEN = 3;
const OPEN_MS = 1000;

/** Refused callers that are remembered: some 5 MB. One that is forgotten costs a round trip again, and no more. */
const MAX_REFUSED = 20_000;

/** One per process or isolate: it holds what was learnt of Redis and of refused callers. Its result: one per scope. */
export function createRateLimiter(options: RateLimiterOptions): (scope: Scope) => TakeQuota {
  const { quotas, openStore, local, onFailure, monotonicMs, meter } = options;
  const refused = new LRUCache<string, Refusal>({ max: MAX_REFUSED });
  const localSubjects = new Set(options.localSubjects);
  const health = createHealth(options);

  async function takeLocally(key: string, quota: Quota): Promise<Result<Verdict>> {
    meter.limiter('local');
    return succeed(toVerdict(await local.take(key, quota), quota));
  }

  function recall(key: string): Verdict | undefined {
    const refusal = refused.get(key);
    const waitMs = refusal === undefined ? 0 : refusal.untilMs - monotonicMs();
    meter.cache('denied', waitMs > 0);
    if (refusal === undefined) return undefined;
    if (waitMs > 0) return { ...refusal.verdict, retryAfterSeconds: Math.ceil(waitMs / 1000) };
    refused.delete(key);
    return undefined;
  }

  async function decideWithoutStore(key: string, quota: Quota): Promise<Result<Verdict | undefined>> {
    if (onFailure === 'local') return takeLocally(key, quota);
    meter.limiter(onFailure);
    if (onFailure === 'open') return succeed(undefined);
    return fail({ kind: 'unavailable', dependency: 'redis', reason: 'no limit can be decided without Redis' });
  }

  return (scope) => {
    let store: LimitStore | undefined;

    async function askStore(open: (scope: Scope) => LimitStore, key: string, quota: Quota) {
      if (!health.mayAsk()) return decideWithoutStore(key, quota);
      // Taken before the round trip: nobody is refused from memory whom Redis would let through.
      const askedAtMs = monotonicMs();
      let decision: Decision;
      try {
        store ??= open(scope);
        decision = await store.take(key, quota);
      } catch (error) {
        // Never asked twice: the unit may have been taken although no answer came.
        health.failed(error);
        return decideWithoutStore(key, quota);
      }
      health.succeeded();
      meter.limiter('redis');
      const verdict = toVerdict(decision, quota);
      if (!verdict.isAllowed) refused.set(key, { verdict, untilMs: askedAtMs + toRetryMicros(decision, quota) / 1000 });
      return succeed(verdict);
    }

    return (subject, name) => {
      const quota = quotas[subject];
      if (quota === undefined) return succeed(undefined);
      const key = toLimitKey(subject, name);
      if (openStore === undefined || localSubjects.has(subject)) return takeLocally(key, quota);
      const recalled = recall(key);
      return recalled ? succeed(recalled) : askStore(openStore, key, quota);
    };
  };
}

interface Refusal {
  readonly verdict: Verdict;
  /** By the monotonic clock. */
  readonly untilMs: number;
}

/** The subject is one of three words, and quoting keeps apart even names that UTF-8 would make equal (lone surrogates). */
function toLimitKey(subject: RateLimitSubject, name: string): string {
  return `${subject}:${JSON.stringify(name)}`;
}

/** The breaker, and one line in the log when Redis goes away and one when it is back, however often the breaker moves. */
function createHealth({ monotonicMs, onFailure, log, meter }: RateLimiterOptions) {
  let isAway = false;
  let reason = '';
  let lastError: unknown;
  const breaker = new Breaker({
    failuresToOpen: FAILURES_TO_OPEN,
    openMs: OPEN_MS,
    monotonicMs,
    onChange(state) {
      meter.breaker('redis', state);
      if (state === 'open' && !isAway) {
        isAway = true;
        log.warn('Redis decides no rate limits', { reason, rateLimitOnFailure: onFailure });
      }
      if (state === 'closed' && isAway) {
        isAway = false;
        log.info('Redis decides rate limits again');
      }
    },
  });
  return {
    mayAsk: () => breaker.tryAcquire(),
    succeeded: () => breaker.succeeded(),
    failed(error: unknown) {
      // Requests that shared a call are told of the same error, and it is one failure.
      if (error === lastError) return;
      lastError = error;
      // Not its name: a minified class has none worth reading.
      reason = (error as Error).message;
      log.debug('no rate limit from Redis', { reason });
      breaker.failed();
    },
  };
}
