/** The one scope of a Node process: its Redis client, and the work that a drain waits for. On Workers: `worker-scope.ts`. */
import type { Cluster, Redis } from 'ioredis';
import type { Scope } from './scope.ts';

export interface NodeScope extends Scope {
  /** Resolves when no work is under way any more, or after `timeoutMs`. */
  settle(timeoutMs: number): Promise<void>;
}

export function openNodeScope(redis: Redis | Cluster | undefined): NodeScope {
  // A count: a Set of promises that come and go leaves V8 a chain of old tables, each with what it last held.
  let pending = 0;
  let settling: (() => void)[] = [];
  const end = () => {
    pending -= 1;
    if (pending > 0) return;
    for (const settle of settling) settle();
    settling = [];
  };
  return {
    waitUntil(work) {
      pending += 1;
      work.then(end, end);
    },
    redis() {
      if (redis === undefined) throw new Error('REDIS_URL is not set');
      return redis;
    },
    followerWaitMs: Number.POSITIVE_INFINITY,
    async settle(timeoutMs) {
      if (pending === 0) return;
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, timeoutMs);
        settling.push(() => {
          clearTimeout(timer);
          resolve();
        });
      });
    },
  };
}
