/** What the limiter's tests share: a log and a meter that remember, and a limiter wired as `services.ts` wires it on Node. */
import type { Cluster, Redis } from 'ioredis';
import { createLocalLimitStore } from '../../src/policy/local-limit-store.ts';
import type { LimitStore, Quota, TakeQuota } from '../../src/policy/rate-limit.ts';
import { createRateLimiter, type RateLimiterOptions } from '../../src/policy/rate-limiter.ts';
import { createRedisLimitStore } from '../../src/redis/limiter.ts';
import type { Scope } from '../../src/scope.ts';
import type { Log } from '../../src/telemetry/log.ts';
import { type Meter, NO_METER } from '../../src/telemetry/meter.ts';

export const monotonicMs = () => performance.now();

/** Lines as `warn message {"field":…}`; debug lines apart. */
export function recordLog(): Log & { lines: string[]; debugLines: string[] } {
  const lines: string[] = [];
  const debugLines: string[] = [];
  const at = (level: string, to: string[]) => (message: string, fields?: unknown) => {
    to.push(`${level} ${message} ${JSON.stringify(fields ?? {})}`);
  };
  const [info, warn, error] = [at('info', lines), at('warn', lines), at('error', lines)];
  return { lines, debugLines, debug: at('debug', debugLines), info, warn, error };
}

export function recordMeter(): Meter & { modes: string[]; breakerStates: string[]; denied: boolean[] } {
  const modes: string[] = [];
  const breakerStates: string[] = [];
  const denied: boolean[] = [];
  return {
    ...NO_METER,
    modes,
    breakerStates,
    denied,
    limiter: (mode) => modes.push(mode),
    breaker: (name, state) => breakerStates.push(`${name} ${state}`),
    cache: (_name, isHit) => denied.push(isHit),
  };
}

export function toScope(redis: () => Redis | Cluster): Scope {
  return { redis, waitUntil: () => undefined, followerWaitMs: Number.POSITIVE_INFINITY };
}

/** `asked` counts the calls that reached the store. */
export function countCalls(store: LimitStore): LimitStore & { asked: number } {
  const counted = {
    asked: 0,
    take(key: string, quota: Quota) {
      counted.asked += 1;
      return store.take(key, quota);
    },
  };
  return counted;
}

export interface WiredLimiter {
  readonly store: LimitStore & { asked: number };
  take(name: string): Promise<Awaited<ReturnType<TakeQuota>>>;
}

/** Limits callers only, over `redis`. */
export function wireLimiter(
  redis: Redis | Cluster,
  quota: Quota,
  timeoutMs: number,
  rest: Pick<RateLimiterOptions, 'onFailure' | 'log' | 'meter'>,
): WiredLimiter {
  const store = countCalls(createRedisLimitStore(redis, { timeoutMs, monotonicMs, isShared: !redis.isCluster }));
  const limiter = createRateLimiter({
    quotas: { caller: quota, organization: undefined, address: undefined },
    openStore: () => store,
    local: createLocalLimitStore({ monotonicMs, epochMs: Date.now }),
    localSubjects: [],
    monotonicMs,
    ...rest,
  });
  const takeQuota = limiter(toScope(() => redis));
  return { store, take: async (name) => takeQuota('caller', name) };
}
