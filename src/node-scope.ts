/** The one scope of a Node process: its Redis client, and the work that a drain waits for. On Workers: `worker-scope.ts`. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Cluster, Redis } from 'ioredis';
import type { Scope } from './scope.ts';

export interface NodeScope extends Scope {
  /** Resolves when all work that was under way has ended, or after `timeoutMs`. */
  settle(timeoutMs: number): Promise<void>;
}

export function openNodeScope(redis: Redis | Cluster | undefined): NodeScope {
  const pending = new Set<Promise<unknown>>();
  return {
    waitUntil(work) {
      const forget = () => pending.delete(work);
      pending.add(work);
      work.then(forget, forget);
    },
    redis() {
      if (redis === undefined) throw new Error('REDIS_URL is not set');
      return redis;
    },
    followerWaitMs: Number.POSITIVE_INFINITY,
    async settle(timeoutMs) {
      const late = new AbortController();
      const deadline = sleep(timeoutMs, undefined, { signal: late.signal }).catch(() => undefined);
      await Promise.race([deadline, Promise.allSettled(pending)]);
      late.abort();
    },
  };
}
