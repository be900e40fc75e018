import { Redis } from 'ioredis';
import { describe, expect, it } from 'vitest';
import { createLocalLimitStore } from '../../src/policy/local-limit-store.ts';
import type { LimitStore } from '../../src/policy/rate-limit.ts';
import { createRateLimiter, type RateLimiterOptions } from '../../src/policy/rate-limiter.ts';
import { countCalls, recordLog, recordMeter, toScope } from '../support/limiter.ts';

const QUOTA = { limit: 2, periodSeconds: 20 };
const EPOCH_MS = 1_700_000_000_000;
const NO_CLIENT = toScope(() => {
  throw new Error('no client in this test');
});

/** A limiter over a store that counts as Redis does, and that `faults.isBroken` breaks; time stands still unless moved. */
function create(rest: Partial<RateLimiterOptions> = {}) {
  const clock = { ms: 1000 };
  const faults = { isBroken: false };
  const times = { monotonicMs: () => clock.ms, epochMs: () => EPOCH_MS + clock.ms };
  const healthy = createLocalLimitStore(times);
  const store = countCalls({
    take: (key, quota) =>
      faults.isBroken ? Promise.reject(new Error('connect ECONNREFUSED')) : healthy.take(key, quota),
  } satisfies LimitStore);
  const log = recordLog();
  const meter = recordMeter();
  const limiter = createRateLimiter({
    quotas: { caller: QUOTA, organization: { limit: 5, periodSeconds: 1 }, address: QUOTA },
    openStore: () => store,
    local: createLocalLimitStore(times),
    localSubjects: [],
    onFailure: 'local',
    monotonicMs: times.monotonicMs,
    log,
    meter,
    ...rest,
  });
  return { clock, faults, store, log, meter, limiter, take: limiter(NO_CLIENT) };
}

describe('a subject', () => {
  it('without a quota is not limited, and nothing is asked', async () => {
    const { take, store } = create({ quotas: { caller: undefined, organization: undefined, address: undefined } });
    expect(await take('caller', 'a')).toEqual({ ok: true, value: undefined });
    expect(store.asked).toBe(0);
  });

  it('has its own quota: callers, organizations and addresses of one name do not share', async () => {
    const { take } = create();
    for (const subject of ['caller', 'caller', 'caller'] as const) await take(subject, 'x');
    expect(await take('caller', 'x')).toMatchObject({ value: { isAllowed: false } });
    expect(await take('address', 'x')).toMatchObject({ value: { isAllowed: true, remaining: 1, limit: 2 } });
    expect(await take('organization', 'x')).toMatchObject({ value: { isAllowed: true, remaining: 4, limit: 5 } });
  });

  it.each([
    ['\ud800', '\ud801'],
    ['a":"b', 'a'],
    ['', '""'],
    ['constructor', '__proto__'],
    ['\u00e9', 'e\u0301'],
  ])('is told apart by every character of its name (%j, %j)', async (one, other) => {
    const { take } = create();
    for (let i = 0; i < 3; i += 1) await take('caller', one);
    expect(await take('caller', other)).toMatchObject({ value: { isAllowed: true, remaining: 1 } });
  });

  it('that is always local never reaches the store', async () => {
    const { take, store, meter } = create({ localSubjects: ['address'] });
    await take('address', '203.0.113.9');
    expect([store.asked, meter.modes]).toEqual([0, ['local']]);
    await take('caller', 'a');
    expect([store.asked, meter.modes]).toEqual([1, ['local', 'redis']]);
  });
});

describe('without REDIS_URL', () => {
  it('the process decides, exactly', async () => {
    const { take, meter } = create({ openStore: undefined });
    const verdicts = [await take('caller', 'a'), await take('caller', 'a'), await take('caller', 'a')];
    expect(verdicts.map((verdict) => verdict.ok && verdict.value?.isAllowed)).toEqual([true, true, false]);
    expect(meter.modes).toEqual(['local', 'local', 'local']);
  });
});

describe('a refused caller', () => {
  it('is refused from memory: no round trip until a unit is back, to the millisecond', async () => {
    const { take, store, clock, meter } = create();
    for (let i = 0; i < 3; i += 1) await take('caller', 'a');
    expect(store.asked).toBe(3);
    clock.ms += 9_999;
    expect(await take('caller', 'a')).toMatchObject({ value: { isAllowed: false } });
    expect(store.asked).toBe(3);
    clock.ms += 1;
    expect(await take('caller', 'a')).toMatchObject({ value: { isAllowed: true } });
    expect(store.asked).toBe(4);
    expect(meter.denied).toEqual([false, false, false, true, false]);
  });

  it('sees the wait count down to one second while the reset stays', async () => {
    const { take, clock } = create();
    for (let i = 0; i < 3; i += 1) await take('caller', 'a');
    const reset = EPOCH_MS / 1000 + 1 + 20;
    for (const [laterMs, retryAfterSeconds] of [
      [0, 10],
      [1, 10],
      [8_999, 1],
      [999, 1],
    ] as const) {
      clock.ms += laterMs;
      expect(await take('caller', 'a')).toEqual({
        ok: true,
        value: { isAllowed: false, limit: 2, remaining: 0, resetAtSeconds: reset, retryAfterSeconds },
      });
    }
  });

  it('does not refuse another one', async () => {
    const { take } = create();
    for (let i = 0; i < 3; i += 1) await take('caller', 'a');
    expect(await take('caller', 'b')).toMatchObject({ value: { isAllowed: true } });
  });

  it('is remembered across scopes of one process', async () => {
    const { limiter, store } = create();
    for (let i = 0; i < 4; i += 1) await limiter(NO_CLIENT)('caller', 'a');
    expect(store.asked).toBe(3);
  });

  it('is not remembered where the process decided: the memory is of what Redis said', async () => {
    const { take, faults, clock } = create();
    faults.isBroken = true;
    for (let i = 0; i < 3; i += 1) await take('caller', 'a');
    expect(await take('caller', 'a')).toMatchObject({ value: { isAllowed: false } });
    faults.isBroken = false;
    clock.ms += 1000;
    expect(await take('caller', 'a')).toMatchObject({ value: { isAllowed: true, remaining: 1 } });
  });
});

describe('while the store cannot say', () => {
  it('local: the process limits instead, on its own count', async () => {
    const { take, faults, meter } = create();
    faults.isBroken = true;
    const verdicts = [await take('caller', 'a'), await take('caller', 'a'), await take('caller', 'a')];
    expect(verdicts.map((verdict) => verdict.ok && verdict.value?.isAllowed)).toEqual([true, true, false]);
    expect(meter.modes).toEqual(['local', 'local', 'local']);
  });

  it('open: everybody passes, and no limit is claimed', async () => {
    const { take, faults, meter } = create({ onFailure: 'open' });
    faults.isBroken = true;
    for (let i = 0; i < 5; i += 1) expect(await take('caller', 'a')).toEqual({ ok: true, value: undefined });
    expect(new Set(meter.modes)).toEqual(new Set(['open']));
  });

  it('closed: nobody passes, and it is not called a limit', async () => {
    const { take, faults, meter } = create({ onFailure: 'closed' });
    faults.isBroken = true;
    for (let i = 0; i < 5; i += 1) {
      expect(await take('caller', 'a')).toMatchObject({
        ok: false,
        failure: { kind: 'unavailable', dependency: 'redis' },
      });
    }
    expect(new Set(meter.modes)).toEqual(new Set(['closed']));
  });

  it('a store that cannot even be opened counts as one that cannot say', async () => {
    const { take, log } = create({ openStore: (scope) => ({ take: async () => Promise.reject(scope.redis()) }) });
    expect(await take('caller', 'a')).toMatchObject({ value: { isAllowed: true, remaining: 1 } });
    expect(log.debugLines).toEqual([expect.stringContaining('no client in this test')]);
  });

  it('asks three times, then once a second, however many requests come', async () => {
    const { take, faults, store, clock, meter } = create({ onFailure: 'open' });
    faults.isBroken = true;
    for (let i = 0; i < 1000; i += 1) await take('caller', `${i}`);
    expect(store.asked).toBe(3);
    clock.ms += 999;
    await take('caller', 'a');
    expect(store.asked).toBe(3);
    clock.ms += 1;
    await Promise.all(Array.from({ length: 50 }, (_, i) => take('caller', `${i}`)));
    expect(store.asked).toBe(4);
    expect(meter.breakerStates).toEqual(['redis open', 'redis half-open', 'redis open']);
  });

  it('never asks twice for one request', async () => {
    const { take, faults, store } = create();
    faults.isBroken = true;
    await take('caller', 'a');
    expect(store.asked).toBe(1);
  });

  it('says so once when it begins and once when it ends, with the cause and the mode', async () => {
    const { take, faults, clock, log } = create();
    await take('caller', 'a');
    faults.isBroken = true;
    for (let second = 0; second < 5; second += 1) {
      for (let i = 0; i < 10; i += 1) await take('caller', `${i}`);
      clock.ms += 1000;
    }
    faults.isBroken = false;
    await take('caller', 'b');
    await take('caller', 'b');
    expect(log.lines).toEqual([
      'warn Redis decides no rate limits {"reason":"connect ECONNREFUSED","rateLimitOnFailure":"local"}',
      'info Redis decides rate limits again {}',
    ]);
  });

  it('counts one failure where several requests shared the call that failed', async () => {
    const error = new Error('the connection was closed');
    let isBroken = true;
    const { take, meter } = create({
      openStore: () => ({
        take: (_key, quota) =>
          isBroken
            ? Promise.reject(error)
            : Promise.resolve({ isAllowed: true, fullInMicros: quota.periodSeconds, atMicros: 0 }),
      }),
    });
    await Promise.all(['a', 'b', 'c', 'd'].map((name) => take('caller', name)));
    isBroken = false;
    await take('caller', 'e');
    expect(meter.modes).toEqual(['local', 'local', 'local', 'local', 'redis']);
    expect(meter.breakerStates).toEqual([]);
  });

  it('is not in the log where only one request failed', async () => {
    const { take, faults, log, meter } = create();
    faults.isBroken = true;
    await take('caller', 'a');
    faults.isBroken = false;
    await take('caller', 'a');
    expect([log.lines, meter.breakerStates, meter.modes]).toEqual([[], [], ['local', 'redis']]);
  });
});

it('opens the store at the first decision of a scope, not before, and once', async () => {
  let opened = 0;
  const client = new Redis({ lazyConnect: true });
  const { limiter } = create({
    openStore: (scope) => {
      opened += 1;
      expect(scope.redis()).toBe(client);
      return { take: async () => ({ isAllowed: true, fullInMicros: 1, atMicros: 1 }) };
    },
  });
  const take = limiter(toScope(() => client));
  expect(opened).toBe(0);
  await take('caller', 'a');
  await take('organization', 'b');
  expect(opened).toBe(1);
  client.disconnect();
});
