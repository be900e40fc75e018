/**
 * The limit store that all processes share: one script call, one key, one round trip a decision, on a single Redis or a
 * Cluster. The script: `limit-script.ts`. What happens when it does not answer: `policy/rate-limiter.ts`.
 */
import { createHash } from 'node:crypto';
import type { Cluster, Redis } from 'ioredis';
import { type Decision, type LimitStore, toUnitMicros, toWindowMicros } from '../policy/rate-limit.ts';
import { LIMIT_SCRIPT } from './limit-script.ts';

export interface RedisLimitStoreOptions {
  /** The `commandTimeout` of the client: no decision waits longer. */
  readonly timeoutMs: number;
  readonly monotonicMs: () => number;
}

const KEY_PREFIX = 'holdover:limit:';
const SCRIPT_SHA1 = createHash('sha1').update(LIMIT_SCRIPT).digest('hex');

/** Rejects with whatever the client rejects with; only `NOSCRIPT`, which proves that nothing ran, is asked again. */
export function createRedisLimitStore(redis: Redis | Cluster, options: RedisLimitStoreOptions): LimitStore {
  const { timeoutMs, monotonicMs } = options;
  return {
    async take(key, quota) {
      const askedAtMs = monotonicMs();
      const limitKey = KEY_PREFIX + key;
      const [unit, window] = [toUnitMicros(quota), toWindowMicros(quota)];
      try {
        return toDecision(await redis.evalsha(SCRIPT_SHA1, 1, limitKey, unit, window));
      } catch (error) {
        if (!(error instanceof Error && error.message.startsWith('NOSCRIPT'))) throw error;
      }
      // The server restarted or its scripts were flushed. Sending the source also stores it there.
      const leftMs = askedAtMs + timeoutMs - monotonicMs();
      if (leftMs <= 0) throw new Error('the script came too late to be sent again');
      return toDecision(await within(leftMs, redis.eval(LIMIT_SCRIPT, 1, limitKey, unit, window)));
    },
  };
}

function toDecision(reply: unknown): Decision {
  const [allowed, fullInMicros, atMicros] = Array.isArray(reply) ? reply : [];
  if ((allowed !== 0 && allowed !== 1) || !Number.isSafeInteger(fullInMicros) || !Number.isSafeInteger(atMicros)) {
    throw new Error('the limit script gave an answer that is not its own');
  }
  return { isAllowed: allowed === 1, fullInMicros, atMicros };
}

/** The client's own time-out begins anew with a second command; the decision's does not. */
async function within<Value>(ms: number, answer: Promise<Value>): Promise<Value> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(() => reject(new Error('Redis did not answer in time')), ms);
  });
  try {
    return await Promise.race([answer, late]);
  } finally {
    clearTimeout(timer);
  }
}
