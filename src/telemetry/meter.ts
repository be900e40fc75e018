/** What the parts count. Implementations: `metrics.ts` (Prometheus, Node); Workers count nothing. */
import type { BreakerState } from '../breaker.ts';

export interface Meter {
  cache(name: 'tokens' | 'organizations' | 'users' | 'access-tokens' | 'denied', isHit: boolean): void;
  breaker(name: 'redis' | 'backend', state: BreakerState): void;
  /** Who decided a limit: Redis, the process, or RATE_LIMIT_ON_FAILURE. */
  limiter(mode: 'redis' | 'local' | 'open' | 'closed'): void;
  /** The copy of an audit line did not reach Redis. */
  auditCopyFailed(): void;
  /** A source is serving what it loaded before, because loading again failed. */
  stale(source: 'directory' | 'key-set'): void;
}

export const NO_METER: Meter = {
  cache() {},
  breaker() {},
  limiter() {},
  auditCopyFailed() {},
  stale() {},
};
