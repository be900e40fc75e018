/**
 * What one request may use of its runtime. On Node a single scope serves the whole process; on Workers each request has
 * its own, because a socket or promise that belongs to one request must not be used by another (README, "Two runtimes").
 */
import type { Cluster, Redis } from 'ioredis';

export interface Scope {
  /**
   * Keeps `work` alive after the answer was sent: `ctx.waitUntil` on Workers; on Node the drain waits for it.
   * It may reject: whoever began it reports that.
   */
  waitUntil(work: Promise<unknown>): void;
  /**
   * The Redis client of this scope, opened at the first call; the scope closes it when all its work has ended.
   * Throws where REDIS_URL is not set: callers are only wired up when it is.
   */
  redis(): Redis | Cluster;
  /**
   * How long, in milliseconds, a request waits for a load that another request began before it loads for itself.
   * `Infinity` on Node. Finite on Workers, where the other request may be cancelled and its promise never settle.
   */
  readonly followerWaitMs: number;
}
