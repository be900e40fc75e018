/**
 * Whether the backend may be asked once more: a share of all calls, so that repeats cannot double the load of a backend
 * that is going under (decisions.md, section 6). A bucket of repeats, filled by calls and by time.
 */

/** Repeats stop when they exceed 20 % of calls. */
const REPEATS_PER_CALL = 0.2;

/** So that a quiet Holdover may repeat at all: the minimum of Finagle's RetryBudget. */
const REPEATS_PER_SECOND = 10;

/** What a quiet time saves up: enough for a backend that restarts and drops every connection at once, and no more. */
const MOST_SAVED = 20;

export class RepeatBudget {
  readonly #monotonicMs: () => number;
  #saved = MOST_SAVED;
  #filledAt: number;

  constructor(monotonicMs: () => number) {
    this.#monotonicMs = monotonicMs;
    this.#filledAt = monotonicMs();
  }

  countCall(): void {
    this.#saved = Math.min(MOST_SAVED, this.#saved + REPEATS_PER_CALL);
  }

  trySpend(): boolean {
    const now = this.#monotonicMs();
    this.#saved = Math.min(MOST_SAVED, this.#saved + ((now - this.#filledAt) / 1_000) * REPEATS_PER_SECOND);
    this.#filledAt = now;
    if (this.#saved < 1) return false;
    this.#saved -= 1;
    return true;
  }
}
