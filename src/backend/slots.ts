/** At most so many calls in flight (BACKEND_CONCURRENCY). Who finds none free waits within the deadline, first come first served. */
import type { Scope } from '../scope.ts';
import type { Deadline } from './deadline.ts';

/** One call's leave to be in flight. */
export interface Slot {
  /** Monotonic milliseconds. No call outlives it. */
  readonly endsAt: number;
  /** Its index among those that are taken; undefined once it is given back. */
  index: number | undefined;
}

/** How often a request on Workers looks whether a slot is free. */
const POLL_MS = 10;

/** What a call may take to end once its deadline has passed. */
const GRACE_MS = 1_000;

export class Slots {
  readonly #capacity: number;
  readonly #monotonicMs: () => number;
  /** In no order. A Set whose members come and go leaves V8 a chain of old tables. */
  readonly #taken: Slot[] = [];
  /** In order of arrival. */
  readonly #waiting = new Set<(slot: Slot) => void>();

  constructor(capacity: number, monotonicMs: () => number) {
    this.#capacity = capacity;
    this.#monotonicMs = monotonicMs;
  }

  get taken(): number {
    return this.#taken.length;
  }

  /** A slot if one is free now. To be given back. */
  tryTake(deadline: Deadline): Slot | undefined {
    if (this.taken >= this.#capacity) this.#reclaim();
    if (this.taken >= this.#capacity) return undefined;
    return this.#add(this.#monotonicMs() + deadline.remainingMs + GRACE_MS);
  }

  /** A slot as soon as one is free; `undefined` where the deadline passes first. */
  async take(deadline: Deadline, scope: Scope): Promise<Slot | undefined> {
    const slot = this.tryTake(deadline);
    if (slot) return slot;
    return scope.followerWaitMs === Infinity ? this.#wait(deadline) : this.#poll(deadline);
  }

  giveBack(slot: Slot): void {
    if (!this.#remove(slot)) return;
    const [next] = this.#waiting;
    if (next === undefined) return;
    this.#waiting.delete(next);
    // Taken before anybody else can look.
    next(this.#add(Number.POSITIVE_INFINITY));
  }

  #add(endsAt: number): Slot {
    const slot = { endsAt, index: this.#taken.length };
    this.#taken.push(slot);
    return slot;
  }

  /** Whether it was taken. */
  #remove(slot: Slot): boolean {
    const { index } = slot;
    const last = this.#taken.at(-1);
    if (index === undefined || last === undefined) return false;
    this.#taken[index] = last;
    last.index = index;
    this.#taken.pop();
    slot.index = undefined;
    return true;
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
    for (const slot of this.#taken.filter(({ endsAt }) => endsAt < now)) this.#remove(slot);
  }
}
