/**
 * The limit store of one process or isolate: used without Redis, in place of it while it is away
 * (RATE_LIMIT_ON_FAILURE=local), and for addresses on Workers.
 */
import { LRUCache } from 'lru-cache';
import { type LimitStore, spend } from './rate-limit.ts';

export interface LocalLimitStoreOptions {
  /** Counts time, so that a clock that is set back costs nobody their quota. */
  readonly monotonicMs: () => number;
  /** Names the moment the quota is back. */
  readonly epochMs: () => number;
  readonly maxKeys?: number;
}

/** Some 30 MB. Whoever can speak for more than so many callers gets a forgotten one's quota anew. */
const MAX_KEYS = 100_000;

/** Never rejects. An entry whose time has passed means the same as none, so nothing but the bound takes entries out. */
export function createLocalLimitStore(options: LocalLimitStoreOptions): LimitStore {
  // As `max` it would be room for all of them at once: 10 ms and 2 MB of every isolate's first request.
  const fullAtMicros = new LRUCache<string, number>({ maxSize: options.maxKeys ?? MAX_KEYS, sizeCalculation: () => 1 });
  return {
    async take(key, quota) {
      const nowMicros = Math.floor(options.monotonicMs() * 1000);
      const spent = spend(fullAtMicros.get(key), nowMicros, quota);
      fullAtMicros.set(key, spent.fullAtMicros);
      return {
        isAllowed: spent.isAllowed,
        fullInMicros: spent.fullAtMicros - nowMicros,
        atMicros: Math.floor(options.epochMs() * 1000),
      };
    },
  };
}
