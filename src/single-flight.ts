/**
 * One load at a time per key, however many requests want it. On Node they all wait for its promise. On Workers the promise
 * of one request must not hold up another: where the first is cancelled, it never settles. So there only values pass from
 * request to request: a follower looks again and again whether a load has landed, and after `followerWaitMs` begins the
 * next one itself, which the others then follow too.
 */
import type { Scope } from './scope.ts';

interface Flight<Value> {
  readonly landing: Promise<Value>;
  /** Gives the value, or throws the error. Undefined while it flies, and for ever where its request was cancelled. */
  landed: (() => Value) | undefined;
  /** Begun by the first follower who gave up on this one. */
  successor: Flight<Value> | undefined;
}

/** How often a follower looks. */
const POLL_MS = 5;

export class SingleFlight<Value> {
  readonly #flights = new Map<string, Flight<Value>>();

  /** Resolves or rejects as `load` does. `load` must carry its own deadline; it runs under the leader's `waitUntil`. */
  run(key: string, scope: Scope, load: () => Promise<Value>): Promise<Value> {
    const flight = this.#flights.get(key);
    if (flight === undefined) return this.#lead(key, scope, load).landing;
    return scope.followerWaitMs === Infinity ? flight.landing : this.#follow(flight, key, scope, load);
  }

  /** Whether a load for `key` is under way. */
  isFlying(key: string): boolean {
    return this.#flights.has(key);
  }

  #lead(key: string, scope: Scope, load: () => Promise<Value>): Flight<Value> {
    const flight: Flight<Value> = { landing: load(), landed: undefined, successor: undefined };
    const land = (landed: () => Value) => {
      flight.landed = landed;
      if (this.#flights.get(key) === flight) this.#flights.delete(key);
    };
    this.#flights.set(key, flight);
    const landing = flight.landing.then(
      (value) => land(() => value),
      (error: unknown) =>
        land(() => {
          throw error;
        }),
    );
    scope.waitUntil(landing);
    return flight;
  }

  /** Whichever lands first is good enough: of those that came after `first`, each began when the one before had had its time. */
  async #follow(first: Flight<Value>, key: string, scope: Scope, load: () => Promise<Value>): Promise<Value> {
    let waitMs = scope.followerWaitMs;
    for (let last = first; ; last = last.successor) {
      const landed = await untilLanded(first, waitMs);
      if (landed) return landed();
      if (last.successor === undefined) {
        last.successor = this.#lead(key, scope, load);
        // Its own load ends by itself.
        waitMs = Infinity;
      }
    }
  }
}

/** `undefined` where neither `first` nor any that followed it has landed in that time. */
async function untilLanded<Value>(first: Flight<Value>, ms: number): Promise<Flight<Value>['landed']> {
  let isOver = false;
  const timer = ms === Infinity ? undefined : setTimeout(() => (isOver = true), ms);
  try {
    for (;;) {
      for (let flight: Flight<Value> | undefined = first; flight; flight = flight.successor) {
        if (flight.landed) return flight.landed;
      }
      if (isOver) return undefined;
      await new Promise((resolve) => {
        setTimeout(resolve, POLL_MS);
      });
    }
  } finally {
    clearTimeout(timer);
  }
}
