/** Two properties: nobody ever gets more than burst + rate x time, and Redis decides exactly as the process does. */
import fc from 'fast-check';
import type { Redis } from 'ioredis';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createLocalLimitStore } from '../../src/policy/local-limit-store.ts';
import { type LimitStore, type Quota, spend, toVerdict, toWindowMicros } from '../../src/policy/rate-limit.ts';
import { createRedisLimitStore } from '../../src/redis/limiter.ts';
import { monotonicMs } from '../support/limiter.ts';
import { type RedisServer, startRedis } from '../support/redis.ts';

const quota: fc.Arbitrary<Quota> = fc.record({
  limit: fc.oneof(fc.integer({ min: 1, max: 20 }), fc.integer({ min: 1, max: 1_000_000 })),
  periodSeconds: fc.oneof(fc.constantFrom(1, 60, 3600, 86_400), fc.integer({ min: 1, max: 86_400 })),
});

describe('in process', () => {
  it('over any stretch of time no key gets more than N, plus N for each period that passed', async () => {
    // Pauses from none to some periods, in 1/1000 of the period, so that every quota is driven over its edge.
    const pauses = fc.array(
      fc.oneof(fc.constant(0), fc.integer({ min: 0, max: 30 }), fc.integer({ min: 0, max: 3000 })),
      {
        minLength: 1,
        maxLength: 80,
      },
    );
    const small = fc.record({
      limit: fc.integer({ min: 1, max: 12 }),
      periodSeconds: fc.integer({ min: 1, max: 86_400 }),
    });
    const property = fc.asyncProperty(small, pauses, async (drawn, schedule) => {
      let ms = 1e6;
      const store = createLocalLimitStore({ monotonicMs: () => ms, epochMs: () => ms });
      const allowedAtMs: number[] = [];
      for (const pause of schedule) {
        ms += pause * drawn.periodSeconds;
        if ((await store.take('k', drawn)).isAllowed) allowedAtMs.push(ms);
      }
      let worst = 0;
      for (const [from, start] of allowedAtMs.entries()) {
        for (const [to, end] of allowedAtMs.entries()) {
          const promised = drawn.limit + ((end - start) / (drawn.periodSeconds * 1000)) * drawn.limit;
          if (to >= from) worst = Math.max(worst, to - from + 1 - promised);
        }
      }
      expect(worst).toBeLessThan(1e-9);
    });
    await fc.assert(property, { seed: 11, numRuns: 300 });
  });

  it('whoever waits as long as they were told gets through', () => {
    const property = fc.property(quota, fc.integer({ min: 0, max: 2 ** 50 }), fc.nat(), (drawn, now, ahead) => {
      const refused = spend(now + toWindowMicros(drawn) - (ahead % 10), now, drawn);
      fc.pre(!refused.isAllowed);
      const decision = { isAllowed: false, fullInMicros: refused.fullAtMicros - now, atMicros: now };
      const { retryAfterSeconds } = toVerdict(decision, drawn);
      expect(retryAfterSeconds).toBeGreaterThanOrEqual(1);
      expect(spend(refused.fullAtMicros, now + retryAfterSeconds * 1e6, drawn).isAllowed).toBe(true);
    });
    fc.assert(property, { seed: 12, numRuns: 2000 });
  });

  it('what is left is between none and N, and whole at the reset', () => {
    const property = fc.property(
      quota,
      fc.option(fc.integer({ min: 0, max: 2 ** 52 }), { nil: undefined }),
      (drawn, kept) => {
        const now = 2 ** 51;
        const { isAllowed, fullAtMicros } = spend(kept, now, drawn);
        const verdict = toVerdict({ isAllowed, fullInMicros: fullAtMicros - now, atMicros: now }, drawn);
        expect(verdict.remaining).toBeGreaterThanOrEqual(0);
        expect(verdict.remaining).toBeLessThan(drawn.limit);
        expect(Number.isInteger(verdict.remaining)).toBe(true);
        const later = verdict.resetAtSeconds * 1e6;
        const again = spend(fullAtMicros, later, drawn);
        expect(toVerdict({ ...again, fullInMicros: again.fullAtMicros - later, atMicros: later }, drawn)).toMatchObject(
          {
            isAllowed: true,
            remaining: drawn.limit - 1,
          },
        );
      },
    );
    fc.assert(property, { seed: 13, numRuns: 2000 });
  });
});

describe('Redis', () => {
  let server: RedisServer;
  let redis: Redis;
  let store: LimitStore;
  let run = 0;
  beforeAll(async () => {
    server = await startRedis();
    redis = server.client();
    store = createRedisLimitStore(redis, { timeoutMs: 2000, monotonicMs });
  });
  afterAll(() => server.stop());

  it('decides as the process does, from any state, at the time the script itself saw', async () => {
    // What is kept for the key, as a share of the window from now: spent long ago, in part, just now, beyond reason.
    const share = fc.oneof(
      fc.constantFrom(undefined, 0, 1, -1),
      fc.double({ min: -1, max: 3, noNaN: true }),
      fc.double({ min: 0.9, max: 1.1, noNaN: true }),
    );
    const property = fc.asyncProperty(quota, share, fc.integer({ min: -3, max: 3 }), async (drawn, part, jitter) => {
      run += 1;
      const name = `state:${run}`;
      const fullAt =
        part === undefined ? undefined : Math.floor(Date.now() * 1000 + part * toWindowMicros(drawn)) + jitter;
      if (fullAt !== undefined) await redis.set(`holdover:limit:${name}`, fullAt, 'EX', 100);
      const decision = await store.take(name, drawn);
      const expected = spend(fullAt, decision.atMicros, drawn);
      const { isAllowed, fullAtMicros } = expected;
      expect(decision).toEqual({
        isAllowed,
        fullInMicros: fullAtMicros - decision.atMicros,
        atMicros: decision.atMicros,
      });
    });
    await fc.assert(property, { seed: 21, numRuns: 1500 });
  });

  it('decides as the process does, over any schedule of requests and changes of the quota', async () => {
    const step = fc.record({
      key: fc.constantFrom('a', 'b'),
      pauseMs: fc.oneof(
        { weight: 6, arbitrary: fc.constant(0) },
        { weight: 1, arbitrary: fc.integer({ min: 1, max: 40 }) },
      ),
      quota: fc.constantFrom(
        { limit: 3, periodSeconds: 0.1 },
        { limit: 7, periodSeconds: 0.09 },
        { limit: 1, periodSeconds: 0.02 },
        { limit: 5, periodSeconds: 60 },
      ),
    });
    const property = fc.asyncProperty(fc.array(step, { minLength: 5, maxLength: 40 }), async (schedule) => {
      run += 1;
      const kept = new Map<string, number>();
      for (const { key, pauseMs, quota: drawn } of schedule) {
        if (pauseMs > 0) await new Promise((resolve) => setTimeout(resolve, pauseMs));
        const { isAllowed, fullInMicros, atMicros } = await store.take(`${run}:${key}`, drawn);
        const expected = spend(kept.get(key), atMicros, drawn);
        kept.set(key, expected.fullAtMicros);
        expect({ isAllowed, fullAtMicros: atMicros + fullInMicros }).toEqual(expected);
      }
    });
    await fc.assert(property, { seed: 22, numRuns: 40 });
  });

  it('never gives a key more than burst + rate x time, under concurrent requests', async () => {
    const drawn = { limit: 20, periodSeconds: 0.2 };
    const answers = [];
    for (let round = 0; round < 30; round += 1) {
      answers.push(...(await Promise.all(Array.from({ length: 20 }, () => store.take('rush', drawn)))));
      await new Promise((resolve) => setTimeout(resolve, 7));
    }
    const times = answers.filter(({ isAllowed }) => isAllowed).map(({ atMicros }) => atMicros);
    const elapsedMicros = Math.max(...times) - Math.min(...times);
    expect(times.length).toBeGreaterThan(drawn.limit);
    expect(times.length).toBeLessThanOrEqual(drawn.limit + (elapsedMicros / (drawn.periodSeconds * 1e6)) * drawn.limit);
  });
});
