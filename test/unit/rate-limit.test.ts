import { describe, expect, it } from 'vitest';
import {
  type Quota,
  spend,
  toRetryMicros,
  toUnitMicros,
  toVerdict,
  toWindowMicros,
} from '../../src/policy/rate-limit.ts';

const HOURLY: Quota = { limit: 2000, periodSeconds: 3600 };
const NOW = 1_700_000_000_000_000;
const SECOND = 1_000_000;

/** `times` requests at `nowMicros`, one after the other; the last one's outcome. */
function spendTimes(times: number, nowMicros: number, quota: Quota, fullAtMicros?: number) {
  let spent = { isAllowed: false, fullAtMicros: fullAtMicros ?? nowMicros };
  for (let i = 0; i < times; i += 1) spent = spend(spent.fullAtMicros, nowMicros, quota);
  return spent;
}

describe('spend', () => {
  it('allows a burst of exactly N', () => {
    expect(spendTimes(2000, NOW, HOURLY).isAllowed).toBe(true);
    expect(spendTimes(2001, NOW, HOURLY).isAllowed).toBe(false);
  });

  it('gives one request back each period / N, not a microsecond earlier', () => {
    const { fullAtMicros } = spendTimes(2000, NOW, HOURLY);
    const unitMicros = 1.8 * SECOND;
    expect(spend(fullAtMicros, NOW + unitMicros - 1, HOURLY).isAllowed).toBe(false);
    expect(spend(fullAtMicros, NOW + unitMicros, HOURLY).isAllowed).toBe(true);
    expect(spendTimes(2, NOW + unitMicros, HOURLY, fullAtMicros).isAllowed).toBe(false);
  });

  it('counts a refused request for nothing', () => {
    const { fullAtMicros } = spendTimes(2000, NOW, HOURLY);
    expect(spendTimes(500, NOW, HOURLY, fullAtMicros).fullAtMicros).toBe(fullAtMicros);
  });

  it('has the whole quota back after a period, and never more', () => {
    const { fullAtMicros } = spendTimes(2000, NOW, HOURLY);
    for (const pauseSeconds of [3600, 86_400]) {
      const later = NOW + pauseSeconds * SECOND;
      expect(spendTimes(2000, later, HOURLY, fullAtMicros).isAllowed).toBe(true);
      expect(spendTimes(2001, later, HOURLY, fullAtMicros).isAllowed).toBe(false);
    }
  });

  it('never exceeds a rate that does not divide the period', () => {
    const quota = { limit: 7, periodSeconds: 1 };
    expect(toUnitMicros(quota) * 7).toBeGreaterThanOrEqual(SECOND);
    expect(toWindowMicros(quota)).toBe(toUnitMicros(quota) * 7);
    expect(Number.isInteger(toUnitMicros(quota))).toBe(true);
  });

  it('lets a caller in again one unit after the quota was lowered', () => {
    const { fullAtMicros } = spendTimes(2000, NOW, { limit: 2000, periodSeconds: 86_400 });
    const lowered = { limit: 10, periodSeconds: 60 };
    const refused = spend(fullAtMicros, NOW, lowered);
    expect(refused).toEqual({ isAllowed: false, fullAtMicros: NOW + 60 * SECOND });
    expect(spend(refused.fullAtMicros, NOW + 6 * SECOND, lowered).isAllowed).toBe(true);
  });

  it('lets a caller in again one unit after the clock was set back by an hour', () => {
    const quota = { limit: 10, periodSeconds: 60 };
    const { fullAtMicros } = spendTimes(1, NOW, quota);
    const earlier = NOW - 3600 * SECOND;
    const refused = spend(fullAtMicros, earlier, quota);
    expect(refused.isAllowed).toBe(false);
    expect(spend(refused.fullAtMicros, earlier + 6 * SECOND, quota).isAllowed).toBe(true);
  });
});

describe('toVerdict', () => {
  const quota = { limit: 10, periodSeconds: 60 };
  const verdictAfter = (times: number, laterMicros = 0) => {
    const { fullAtMicros } = spendTimes(times, NOW, quota);
    const at = NOW + laterMicros;
    const { isAllowed, fullAtMicros: full } = spend(fullAtMicros, at, quota);
    return toVerdict({ isAllowed, fullInMicros: full - at, atMicros: at }, quota);
  };

  it('says how many are left, from N - 1 to none', () => {
    expect(verdictAfter(0)).toMatchObject({ isAllowed: true, limit: 10, remaining: 9, retryAfterSeconds: 0 });
    expect(verdictAfter(9)).toMatchObject({ isAllowed: true, remaining: 0, retryAfterSeconds: 0 });
    expect(verdictAfter(10)).toMatchObject({ isAllowed: false, remaining: 0 });
  });

  it('rounds what is left down', () => {
    expect(verdictAfter(5, 1)).toMatchObject({ isAllowed: true, remaining: 4 });
    expect(verdictAfter(5, 6 * SECOND - 1)).toMatchObject({ remaining: 4 });
    expect(verdictAfter(5, 6 * SECOND)).toMatchObject({ remaining: 5 });
  });

  it.each([
    [0, 6],
    [1, 6],
    [SECOND, 5],
    [5 * SECOND, 1],
    [6 * SECOND - 1, 1],
  ])('rounds the wait up, to one second at least (%i us later)', (later, expected) => {
    expect(verdictAfter(10, later).retryAfterSeconds).toBe(expected);
  });

  it('never says to wait 0 seconds, even where a unit has come back meanwhile', () => {
    expect(toVerdict({ isAllowed: false, fullInMicros: 0, atMicros: NOW }, quota).retryAfterSeconds).toBe(1);
    expect(toRetryMicros({ isAllowed: false, fullInMicros: 0, atMicros: NOW }, quota)).toBe(0);
  });

  it('names the second in which the full quota is back, rounded up', () => {
    expect(verdictAfter(0).resetAtSeconds).toBe(1_700_000_006);
    expect(verdictAfter(0, 1).resetAtSeconds).toBe(1_700_000_007);
    expect(verdictAfter(10, SECOND).resetAtSeconds).toBe(1_700_000_060);
  });
});
