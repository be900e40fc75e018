/** What a removal in workerd leaves behind, whether or not its client stays: the call, two audit lines, and their copy in Redis. */
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type Holdover, startOnWorkerd } from '../support/holdover.ts';
import { canOwnRedis } from '../support/redis.ts';
import {
  openClient,
  openSurroundings,
  type Surroundings,
  sendAndAbandon,
  toHealthyStep,
} from '../support/surroundings.ts';

describe.skipIf(!(await canOwnRedis()))('a removal', () => {
  let around: Surroundings;
  let holdover: Holdover;

  beforeEach(async () => {
    around = await openSurroundings();
    holdover = await startOnWorkerd({ ...around.env, RATE_LIMIT: 'off' });
  });
  afterEach(async () => {
    await holdover.stop();
    await around.close();
    expect(holdover.noise).toEqual([]);
  });

  it('is announced in the audit trail before the backend is called', async () => {
    around.backend.play(async (call) => {
      // A backend that looks for the announcement before it answers.
      if (call.endpoint === 'remove') await waitForAudit('intent', 1_500);
      return toHealthyStep(call);
    });
    const client = openClient(holdover.url);
    expect((await client.send()).status).toBe(201);
    client.close();
    await waitForAudit('outcome');
    expect(holdover.lines.filter((line) => 'audit' in line)).toMatchObject([
      {
        audit: 'intent',
        caller: 'uaa-id-110',
        user: 'uaa-id-110',
        backend_user: '7b1f4c52-91d4-4c7e-b0e6-6f0f6b6c2e37',
      },
      { audit: 'outcome', outcome: 'removed', backend_status: 204, tries: 1 },
    ]);
    await untilCopied();
  });

  it.each(['token', 'remove'] as const)(
    'is done and recorded though its client hung up during the call to %s',
    async (endpoint) => {
      let isCalled = false;
      around.backend.play(async (call) => {
        if (call.endpoint === endpoint) {
          isCalled = true;
          await sleep(500);
        }
        return toHealthyStep(call);
      });
      const abandon = await sendAndAbandon(holdover.url);
      for (let tries = 0; tries < 200 && !isCalled; tries += 1) await sleep(10);
      abandon();
      expect(await waitForAudit('outcome')).toMatchObject({ outcome: 'removed', backend_status: 204, tries: 1 });
      expect(around.backend.callsTo('remove')).toHaveLength(1);
      await untilCopied();
    },
  );

  it('is answered before its audit lines are copied to Redis, and they are', async () => {
    const client = openClient(holdover.url);
    expect((await client.send()).status).toBe(201);
    await untilCopied();
    const PAUSE_MS = 1_000;
    await around.redis.client().call('CLIENT', 'PAUSE', PAUSE_MS, 'ALL');
    const sentAt = performance.now();
    expect((await client.send()).status).toBe(201);
    expect(performance.now() - sentAt).toBeLessThan(PAUSE_MS);
    client.close();
    await untilCopied(4);
  });

  function waitForAudit(kind: 'intent' | 'outcome', withinMs?: number) {
    return holdover.waitForLine((line) => line['audit'] === kind, withinMs);
  }

  /** Every audit line, as it was written. */
  async function untilCopied(count = 2): Promise<void> {
    const redis = around.redis.client();
    for (let tries = 0; tries < 100 && (await redis.xlen('holdover:audit')) < count; tries += 1) await sleep(20);
    const copies = await redis.xrange('holdover:audit', '-', '+');
    const lines = copies.map(([, [, line = '']]) => JSON.parse(line));
    expect(lines).toEqual(holdover.lines.filter((line) => 'audit' in line));
    expect(lines).toHaveLength(count);
  }
});
