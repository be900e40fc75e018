/**
 * A circuit breaker: after `failuresToOpen` consecutive failures it refuses at once for `openMs`, then lets one probe
 * through. Pure but for the monotonic clock handed in. Used for Redis and for each backend host; what counts as a
 * failure is the caller's to say.
 */
export type BreakerState = 'closed' | 'open' | 'half-open';

export interface BreakerOptions {
  readonly failuresToOpen: number;
  readonly openMs: number;
  /** Monotonic milliseconds. */
  readonly monotonicMs: () => number;
  /** Called once per change, for the log and the metrics. */
  readonly onChange?: (state: BreakerState) => void;
}

export class Breaker {
  readonly #options: BreakerOptions;
  #state: BreakerState = 'closed';
  #failures = 0;
  #retryAt = 0;

  constructor(options: BreakerOptions) {
    this.#options = options;
  }

  get state(): BreakerState {
    return this.#state;
  }

  /** Whether a call may go out now. `true` in the half-open state makes that call the probe: report how it ended. */
  tryAcquire(): boolean {
    if (this.#state === 'closed') return true;
    const now = this.#options.monotonicMs();
    if (now < this.#retryAt) return false;
    // A probe that never reports (its request was cancelled) must not keep the breaker shut for ever.
    this.#retryAt = now + this.#options.openMs;
    this.#become('half-open');
    return true;
  }

  succeeded(): void {
    this.#failures = 0;
    this.#become('closed');
  }

  failed(): void {
    // Calls that were out when it opened must not keep it open for longer than its time.
    if (this.#state === 'open') return;
    this.#failures += 1;
    if (this.#state === 'closed' && this.#failures < this.#options.failuresToOpen) return;
    this.#retryAt = this.#options.monotonicMs() + this.#options.openMs;
    this.#become('open');
  }

  #become(state: BreakerState): void {
    if (state === this.#state) return;
    this.#state = state;
    this.#options.onChange?.(state);
  }
}
