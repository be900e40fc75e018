/** The one deadline of a removal: everything it asks of the backend shares it (decisions.md, section 6). */
export class Deadline {
  readonly #monotonicMs: () => number;
  readonly #endsAt: number;

  constructor(timeoutMs: number, monotonicMs: () => number) {
    this.#monotonicMs = monotonicMs;
    this.#endsAt = monotonicMs() + timeoutMs;
  }

  /** Whole milliseconds that are left, as timers take them; 0 when it has passed. */
  get remainingMs(): number {
    return Math.max(0, Math.ceil(this.#endsAt - this.#monotonicMs()));
  }

  /** Waits for `work`, which goes on if the deadline passes first: then `undefined`. */
  async race<Value>(work: Promise<Value>): Promise<Value | undefined> {
    let timer: NodeJS.Timeout | undefined;
    const end = new Promise<undefined>((resolve) => {
      timer = setTimeout(resolve, this.remainingMs, undefined);
    });
    try {
      return await Promise.race([work, end]);
    } finally {
      clearTimeout(timer);
    }
  }

  /** Waits `ms`, but not beyond the deadline. */
  sleep(ms: number): Promise<void> {
    return new Promise((resolve) => {
      setTimeout(resolve, Math.min(ms, this.remainingMs));
    });
  }
}
