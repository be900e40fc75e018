/** The backend client's small parts, each by itself. */
import { describe, expect, it } from 'vitest';
import { Deadline } from '../../src/backend/deadline.ts';
import { toRepeatDelayMs } from '../../src/backend/failures.ts';
import { RepeatBudget } from '../../src/backend/repeat-budget.ts';
import { parseRetryAfterMs } from '../../src/backend/retry-after.ts';
import { type Slot, Slots } from '../../src/backend/slots.ts';
import { toTraceparent } from '../../src/backend/traceparent.ts';
import type { HttpAnswer } from '../../src/http/transport.ts';
import { NODE_SCOPE, openWorkerScope, REQUEST_ID } from '../support/backend-client.ts';

const realTime = () => performance.now();

describe('Retry-After', () => {
  const now = Date.UTC(1994, 10, 6, 8, 49, 30);

  it.each<[string | undefined, number | undefined]>([
    ['0', 0],
    ['7', 7_000],
    ['007', 7_000],
    ['86401', 86_400_000],
    ['9'.repeat(400), 86_400_000],
    ['Sun, 06 Nov 1994 08:49:37 GMT', 7_000],
    ['Sunday, 06-Nov-94 08:49:37 GMT', 7_000],
    ['Sun Nov  6 08:49:37 1994', 7_000],
    ['Sun, 06 Nov 1994 08:49:29 GMT', 0],
    ['Fri, 31 Dec 9999 23:59:59 GMT', 86_400_000],
    [undefined, undefined],
    ['', undefined],
    ['-1', undefined],
    ['1.5', undefined],
    ['1e3', undefined],
    ['2025', 2_025_000],
    ['1994-11-06T08:49:37Z', undefined],
    ['Sun, 99 Nov 1994 08:49:37 GMT', undefined],
    ['Sun', undefined],
  ])('%s is %s ms', (value, ms) => {
    expect(parseRetryAfterMs(value, now)).toBe(ms);
  });
});

describe('traceparent', () => {
  const begun = '00-3f0e1b9a5a0c4d8e9a510c7d1f6e2b40-9a510c7d1f6e2b40-00';
  const valid = '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01';

  it.each([valid, valid.replace('-01', '-00'), `${valid.replace('00-', '01-')}-more`, valid.replace('00-', 'fe-')])(
    '%s is passed on',
    (inbound) => {
      expect(toTraceparent(inbound, REQUEST_ID)).toBe(inbound);
    },
  );

  it.each([
    undefined,
    '',
    `${valid}-more`,
    valid.replace('00-', 'ff-'),
    valid.toUpperCase(),
    valid.replace('4bf92f3577b34da6a3ce929d0e0e4736', '0'.repeat(32)),
    valid.replace('00f067aa0ba902b7', '0'.repeat(16)),
    valid.slice(1),
    ` ${valid}`,
    `${valid}\r\nX-Evil: 1`,
    `${valid.replace('00-', '01-')}-a\r\nX-Evil: 1`,
    `${valid}, ${valid}`,
  ])('%j is replaced by one that the request id names', (inbound) => {
    expect(toTraceparent(inbound, REQUEST_ID)).toBe(begun);
  });
});

describe('a repeat', () => {
  const answer = (status: number, retryAfter?: string): HttpAnswer => ({
    status,
    header: () => retryAfter,
    body: '',
    isTruncated: false,
  });

  it('waits longer each time, and never the same for all', () => {
    expect([0, 1].map((repeats) => toRepeatDelayMs(undefined, repeats, 0, 0))).toEqual([25, 50]);
    expect([0, 1].map((repeats) => toRepeatDelayMs(answer(503), repeats, 1, 0))).toEqual([50, 100]);
  });

  it('waits as long as is asked for, a second at most', () => {
    expect(toRepeatDelayMs(answer(429, '1'), 0, 0, 0)).toBe(1_000);
    expect(toRepeatDelayMs(answer(429, '0'), 0, 0, 0)).toBe(25);
    expect(toRepeatDelayMs(answer(429, 'Thu, 01 Jan 1970 00:00:01 GMT'), 0, 0, 400)).toBe(600);
    expect(toRepeatDelayMs(answer(429, '2'), 0, 0, 0)).toBeUndefined();
    expect(toRepeatDelayMs(answer(429), 0, 0, 0)).toBeUndefined();
  });

  it.each([200, 204, 400, 401, 403, 404, 408, 409, 500, 501, 505])('is no use after %i', (status) => {
    expect(toRepeatDelayMs(answer(status, '1'), 0, 0, 0)).toBeUndefined();
  });
});

describe('the repeat budget', () => {
  it('allows a fifth of all calls, beside what was saved up', () => {
    const budget = new RepeatBudget(() => 0);
    let repeats = 0;
    for (let call = 0; call < 1_000; call += 1) {
      budget.countCall();
      if (budget.trySpend()) repeats += 1;
    }
    expect(repeats).toBeGreaterThanOrEqual(200);
    expect(repeats).toBeLessThanOrEqual(220);
  });

  it('fills with time, so that a lone call may be repeated, and not without end', () => {
    let now = 0;
    const budget = new RepeatBudget(() => now);
    const spendAll = () => {
      let repeats = 0;
      while (budget.trySpend()) repeats += 1;
      return repeats;
    };
    expect(spendAll()).toBe(20);
    now = 250;
    expect(spendAll()).toBe(2);
    now = 3_600_000;
    expect(spendAll()).toBe(20);
  });
});

describe('a deadline', () => {
  it('ends a wait, not the work', async () => {
    const deadline = new Deadline(30, realTime);
    let isDone = false;
    const work = new Promise<string>((resolve) =>
      setTimeout(() => {
        isDone = true;
        resolve('done');
      }, 60),
    );
    expect(await deadline.race(work)).toBeUndefined();
    expect(deadline.remainingMs).toBe(0);
    expect(await work).toBe('done');
    expect(isDone).toBe(true);
  });

  it('hands on what fails', async () => {
    await expect(new Deadline(1_000, realTime).race(Promise.reject(new Error('x')))).rejects.toThrow('x');
  });
});

describe.each([
  ['on Node', () => NODE_SCOPE],
  ['on Workers', openWorkerScope],
])('slots %s', (_, openScope) => {
  const take = (slots: Slots, ms = 2_000) => slots.take(new Deadline(ms, realTime), openScope());

  it('are never more than there are, and all are served', async () => {
    const slots = new Slots(3, realTime);
    let taken = 0;
    let mostTaken = 0;
    const run = async () => {
      const slot = (await take(slots)) as Slot;
      taken += 1;
      mostTaken = Math.max(mostTaken, taken);
      await new Promise((resolve) => setTimeout(resolve, 1));
      taken -= 1;
      slots.giveBack(slot);
    };
    await Promise.all(Array.from({ length: 40 }, run));
    expect(mostTaken).toBe(3);
    expect(slots.taken).toBe(0);
  });

  it('are not lost to those who gave up waiting', async () => {
    const slots = new Slots(1, realTime);
    const slot = (await take(slots)) as Slot;
    expect(await Promise.all([take(slots, 20), take(slots, 20)])).toEqual([undefined, undefined]);
    const patient = take(slots);
    slots.giveBack(slot);
    const next = (await patient) as Slot;
    expect(next).toBeDefined();
    slots.giveBack(next);
    slots.giveBack(next);
    expect(slots.taken).toBe(0);
  });

  it('come back from a request that was cancelled, once its deadline has passed', async () => {
    let now = 0;
    const slots = new Slots(1, () => now);
    await slots.take(new Deadline(5_000, () => now), openScope());
    now = 5_900;
    expect(slots.tryTake(new Deadline(10, () => now))).toBeUndefined();
    now = 6_100;
    expect(slots.tryTake(new Deadline(10, () => now))).toBeDefined();
  });
});

it('slots on Node go to whoever came first', async () => {
  const slots = new Slots(1, realTime);
  const first = (await slots.take(new Deadline(1_000, realTime), NODE_SCOPE)) as Slot;
  const served: number[] = [];
  const waiting = [1, 2, 3].map(async (number) => {
    const slot = (await slots.take(new Deadline(1_000, realTime), NODE_SCOPE)) as Slot;
    served.push(number);
    slots.giveBack(slot);
  });
  slots.giveBack(first);
  expect(slots.tryTake(new Deadline(1_000, realTime))).toBeUndefined();
  await Promise.all(waiting);
  expect(served).toEqual([1, 2, 3]);
});

it('slots on Node that are given back twice count once', async () => {
  const slots = new Slots(1, realTime);
  const first = (await slots.take(new Deadline(1_000, realTime), NODE_SCOPE)) as Slot;
  const [second, third] = [1_000, 50].map((ms) => slots.take(new Deadline(ms, realTime), NODE_SCOPE));
  slots.giveBack(first);
  slots.giveBack(first);
  expect(await second).toBeDefined();
  expect(await third).toBeUndefined();
});
