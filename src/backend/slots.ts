/** At most so many calls in flight (BACKEND_CONCURRENCY). Who finds none free waits within the deadline, first come first served. */
import type { Scope } from '../scope.ts';
import type { Deadline } from './deadline.ts';

/** One call's leave to be in flight. */
export interface Slot {
  /** Monotonic milliseconds. No call outlives it. */
  readonly endsAt: number;
}

/** How often a request on Workers looks whether a slot is free. */
const POLL_MS = 10;

/** What a call may take to end once its deadline has passed. */
const GRACE_MS = 1_000;

export class Slots {
  readonly #capacity: number;
  readonly #monotonicMs: () => number;
  readonly #taken = new Set<Slot>();
  /** In order of arrival. */
  readonly #waiting = new Set<(slot: Slot) => void>();

  constructor(capacity: number, monotonicMs: () => number) {
    this.#capacity = capacity;
    this.#monotonicMs = monotonicMs;
  }

  get taken(): number {
    return this.#taken.size;
  }

  /** A slot if one is free now. To be given back. */
  tryTake(deadline: Deadline): Slot | undefined {
    if (this.#taken.size >= this.#capacity) this.#reclaim();
    if (this.#taken.size >= this.#capacity) return undefined;
    const slot = { endsAt: this.#monotonicMs() + deadline.remainingMs + GRACE_MS };
    this.#taken.add(slot);
    return slot;
  }

  /** A slot as soon as one is free; `undefined` where the deadline passes first. */
  async take(deadline: Deadline, scope: Scope): Promise<Slot | undefined> {
    const slot = this.tryTake(deadline);
    if (slot) return slot;
    return scope.followerWaitMs === Infinity ? this.#wait(deadline) : this.#poll(deadline);
  }

  giveBack(slot: Slot): void {
    if (!this.#taken.delete(slot)) return;
    const [next] = this.#waiting;
    if (next === undefined) return;
    this.#waiting.delete(next);
    // Taken before anybody else can look.
    const passedOn = { endsAt: Number.POSITIVE_INFINITY };
    this.#taken.add(passedOn);
    next(passedOn);
  }

  #wait(deadline: Deadline): Promise<Slot | undefined> {
    return new Promise((resolve) => {
      const timer = setTimeout(() => {
        this.#waiting.delete(wake);
        resolve(undefined);
      }, deadline.remainingMs);
      const wake = (slot: Slot) => {
        clearTimeout(timer);
        resolve(slot);
      };
      this.#waiting.add(wake);
    });
  }

  /** On Workers one request must not settle another's promise: it may hang. So each looks for itself. */
  async #poll(deadline: Deadline): Promise<Slot | undefined> {
    while (deadline.remainingMs > 0) {
      await deadline.sleep(POLL_MS);
      const slot = this.tryTake(deadline);
      if (slot) return slot;
    }
    return undefined;
  }

  /** A request that Workers cancelled never gave its slot back. */
  #reclaim(): void {
    const now = this.#monotonicMs();
    for (const slot of this.#taken) if (slot.endsAt < now) this.#taken.delete(slot);
  }
}
