/** What keeps work alive on each runtime: nothing of it may end the process, nor be cut off. */
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeEach, expect, it } from 'vitest';
import { openNodeScope } from '../../src/node-scope.ts';
import { openRequestScope } from '../../src/worker-scope.ts';

const unhandled: unknown[] = [];
const note = (reason: unknown) => void unhandled.push(reason);
process.on('unhandledRejection', note);
afterAll(() => void process.off('unhandledRejection', note));
beforeEach(() => void unhandled.splice(0));

it('lets work reject on Node', async () => {
  const scope = openNodeScope(undefined);
  scope.waitUntil(Promise.reject(new Error('EPIPE')));
  await scope.settle(1_000);
  await sleep(10);
  expect(unhandled).toEqual([]);
});

it('waits on Node for what is under way, but no longer than it may', async () => {
  const scope = openNodeScope(undefined);
  let hasEnded = false;
  const work = sleep(50).then(() => {
    hasEnded = true;
  });
  scope.waitUntil(work);
  await scope.settle(0);
  expect(hasEnded).toBe(false);
  await scope.settle(10_000);
  expect(hasEnded).toBe(true);
});

it('waits on Node also for work that work has begun', async () => {
  const scope = openNodeScope(undefined);
  let hasEnded = false;
  const first = sleep(20).then(() => {
    const second = sleep(50).then(() => {
      hasEnded = true;
    });
    scope.waitUntil(second);
  });
  scope.waitUntil(first);
  await Promise.all([scope.settle(10_000), scope.settle(10_000)]);
  expect(hasEnded).toBe(true);
  await scope.settle(10_000);
});

it('lets work reject on Workers, which would report it as an error of the request', async () => {
  const handedOn: Promise<unknown>[] = [];
  const scope = openRequestScope(
    { url: 'redis://127.0.0.1:1', timeoutMs: 10 },
    { waitUntil: (work) => void handedOn.push(work) },
  );
  scope.waitUntil(Promise.reject(new Error('EPIPE')));
  scope.end();
  expect((await Promise.allSettled(handedOn)).map(({ status }) => status)).toEqual(['fulfilled', 'fulfilled']);
  await sleep(10);
  expect(unhandled).toEqual([]);
});
