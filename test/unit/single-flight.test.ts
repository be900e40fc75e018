/** Who loads and who waits, where a load may be cancelled with its request (Workers) and where it may not (Node). */
import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import type { Scope } from '../../src/scope.ts';
import { SingleFlight } from '../../src/single-flight.ts';

const WAIT_MS = 100;

function toScope(followerWaitMs: number): Scope & { readonly work: Promise<unknown>[] } {
  const work: Promise<unknown>[] = [];
  return {
    work,
    waitUntil: (promise) => void work.push(promise),
    redis() {
      throw new Error('no Redis here');
    },
    followerWaitMs,
  };
}

const NODE = toScope(Number.POSITIVE_INFINITY);
const WORKERS = toScope(WAIT_MS);

/** A source whose first loads are never answered, as where their request was cancelled. */
function createSource(cancelled = 0) {
  const source = {
    loads: 0,
    load: async (): Promise<string> => {
      source.loads += 1;
      if (source.loads <= cancelled) await new Promise(() => undefined);
      await sleep(10);
      return `load ${source.loads}`;
    },
  };
  return source;
}

describe.each([
  ['Node', NODE],
  ['Workers', WORKERS],
])('on %s', (_runtime, scope) => {
  it('50 requests at a time share one load, and the next begins another', async () => {
    const flights = new SingleFlight<string>();
    const source = createSource();
    const run = () => flights.run('a', scope, source.load);
    expect(new Set(await Promise.all(Array.from({ length: 50 }, run)))).toEqual(new Set(['load 1']));
    expect(flights.isFlying('a')).toBe(false);
    expect(await run()).toBe('load 2');
  });

  it('keys do not wait for each other', async () => {
    const flights = new SingleFlight<string>();
    const stalled = flights.run('a', scope, () => new Promise(() => undefined));
    expect(await flights.run('b', scope, async () => 'b')).toBe('b');
    expect(flights.isFlying('a')).toBe(true);
    void stalled;
  });

  it('all of them learn that the load failed, and what keeps it alive does not', async () => {
    const flights = new SingleFlight<string>();
    const own = toScope(scope.followerWaitMs);
    const load = async (): Promise<string> => {
      await sleep(10);
      throw new Error('no such luck');
    };
    const runs = await Promise.allSettled(Array.from({ length: 3 }, () => flights.run('a', own, load)));
    expect(runs.map((run) => run.status === 'rejected' && run.reason.message)).toEqual(Array(3).fill('no such luck'));
    expect(await Promise.allSettled(own.work)).toEqual([{ status: 'fulfilled', value: undefined }]);
    expect(flights.isFlying('a')).toBe(false);
  });
});

describe('where the request that loads is cancelled', () => {
  it('one follower loads, and the others get what it loaded', async () => {
    const flights = new SingleFlight<string>();
    const source = createSource(1);
    void flights.run('a', WORKERS, source.load);
    const followers = Array.from({ length: 20 }, () => flights.run('a', WORKERS, source.load));
    expect(new Set(await Promise.all(followers))).toEqual(new Set(['load 2']));
    expect(source.loads).toBe(2);
  });

  it('a follower who came later gets it too', async () => {
    const flights = new SingleFlight<string>();
    const source = createSource(1);
    void flights.run('a', WORKERS, source.load);
    const early = flights.run('a', WORKERS, source.load);
    await sleep(WAIT_MS / 2);
    const late = flights.run('a', WORKERS, source.load);
    expect(await early).toBe('load 2');
    expect(flights.isFlying('a')).toBe(false);
    expect(await late).toBe('load 2');
  });

  it('and the one that follows it as well, a third loads', async () => {
    const flights = new SingleFlight<string>();
    const source = createSource(2);
    void flights.run('a', WORKERS, source.load);
    const found: string[] = [];
    const followers = Array.from({ length: 10 }, () => flights.run('a', WORKERS, source.load));
    for (const follower of followers) void follower.then((value) => found.push(value));
    for (let tries = 0; tries < 100 && found.length < 10; tries += 1) await sleep(20);
    expect(found).toEqual(Array(10).fill('load 3'));
    expect(source.loads).toBe(3);
  });
});

it('a load that is only slow begins no more than one other in the time that followers wait', async () => {
  const flights = new SingleFlight<string>();
  let loads = 0;
  const load = async (): Promise<string> => {
    loads += 1;
    const own = loads;
    await sleep(2.5 * WAIT_MS);
    return `load ${own}`;
  };
  const runs = Array.from({ length: 20 }, () => flights.run('a', WORKERS, load));
  expect(new Set(await Promise.all(runs))).toEqual(new Set(['load 1']));
  expect(loads).toBeLessThanOrEqual(3);
});
