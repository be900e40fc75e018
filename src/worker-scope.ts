/** The scope of one request on Workers: its `waitUntil`, and a Redis client that is opened when a step first needs it. */
import { createRequestRedis, type RequestRedisOptions } from './redis/connection.ts';
import type { Scope } from './scope.ts';

export interface RequestScope extends Scope {
  /** To be called once, when the answer is there: the Redis client is closed when all work has ended. */
  end(): void;
}

/** How long a follower trusts another request's load: that request may have been cancelled. */
const FOLLOWER_WAIT_MS = 1_000;

export function openRequestScope(
  redis: RequestRedisOptions,
  ctx: { waitUntil(work: Promise<unknown>): void },
): RequestScope {
  const work: Promise<unknown>[] = [];
  let client: ReturnType<typeof createRequestRedis> | undefined;
  return {
    waitUntil(promise) {
      work.push(promise);
      ctx.waitUntil(promise.catch(() => undefined));
    },
    redis() {
      client ??= createRequestRedis(redis);
      return client;
    },
    followerWaitMs: FOLLOWER_WAIT_MS,
    end() {
      ctx.waitUntil(settle(work).then(() => client?.disconnect()));
    },
  };
}

/** Work may begin more work. */
async function settle(work: readonly Promise<unknown>[]): Promise<void> {
  for (let seen = 0; seen < work.length; ) {
    seen = work.length;
    await Promise.allSettled(work);
  }
}
