/** What a request in workerd costs Redis: a connection where a step needs it, one for all steps, and none that stays. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Redis } from 'ioredis';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { type Environment, type Holdover, startOnWorkerd } from '../support/holdover.ts';
import { canOwnRedis } from '../support/redis.ts';
import {
  BARE_GUID,
  type Client,
  createToken,
  openClient,
  openSurroundings,
  PAGE_GUID,
  type Surroundings,
} from '../support/surroundings.ts';
import { createSecret, signToken, toClaims } from '../support/tokens.ts';

describe.skipIf(!(await canOwnRedis()))('connections to Redis', () => {
  let around: Surroundings;
  let holdover: Holdover;
  let client: Client;
  let inspector: Redis;

  beforeAll(async () => {
    around = await openSurroundings();
    inspector = around.redis.client();
  });
  afterAll(() => around.close());
  afterEach(async () => {
    client.close();
    await holdover.stop();
    expect(holdover.noise).toEqual([]);
  });

  async function start(changes: Environment = {}): Promise<void> {
    holdover = await startOnWorkerd({ ...around.env, ...changes });
    client = openClient(holdover.url);
  }

  /** How many connections `work` opens; none of them is left. */
  async function countOpened(work: () => Promise<unknown>): Promise<number> {
    const count = async () => Number(/^total_connections_received:(\d+)/m.exec(await inspector.info('stats'))?.[1]);
    const before = await count();
    await work();
    await untilNoneIsLeft();
    return (await count()) - before;
  }

  /** They are closed behind the answer, so that it does not wait for that. */
  async function untilNoneIsLeft(): Promise<void> {
    const list = async () =>
      String(await inspector.client('LIST'))
        .trim()
        .split('\n');
    for (let tries = 0; tries < 100 && (await list()).length > 1; tries += 1) await sleep(20);
    expect(await list()).toHaveLength(1);
  }

  const show = (guid: string) => ({ method: 'GET', path: `/v2/organizations/${guid}` });

  it('are one for the limits, the directory and the audit trail together', async () => {
    await start({ RATE_LIMIT_ORGANIZATION: '100/1h' });
    const opened = await countOpened(async () => {
      expect(await client.send()).toMatchObject({ status: 201 });
      await untilLines(2);
    });
    expect(opened).toBe(1);
    expect(await inspector.keys('holdover:limit:*')).toHaveLength(2);
  });

  it('take no round trip of their own: the first command is a decision', async () => {
    await start();
    await client.send();
    // The copy of its audit lines comes after the answer.
    await untilNoneIsLeft();
    await inspector.config('RESETSTAT');
    expect((await client.send()).status).toBe(201);
    await untilNoneIsLeft();
    const calls = [...(await inspector.info('commandstats')).matchAll(/^cmdstat_(\S+):calls=(\d+)/gm)];
    const sent = new Map(calls.map(([, command, count]) => [command, Number(count)]));
    expect(sent.get('evalsha')).toBe(1);
    // Both audit lines, in one command.
    expect([sent.get('eval'), sent.get('xadd')]).toEqual([1, 2]);
    for (const command of ['hello', 'auth', 'select', 'client|setinfo', 'script|load'])
      expect(sent.has(command)).toBe(false);
  });

  it('are not opened for an organization that is cached', async () => {
    await start({ RATE_LIMIT: 'off' });
    expect(await countOpened(() => client.send(show(PAGE_GUID)))).toBe(1);
    const opened = await countOpened(async () => {
      for (let tries = 0; tries < 20; tries += 1) expect((await client.send(show(PAGE_GUID))).status).toBe(200);
    });
    expect(opened).toBe(0);
    expect(await countOpened(() => client.send(show(BARE_GUID)))).toBe(1);
  });

  it('are not opened for a caller who was refused, until the quota is back', async () => {
    await start({ RATE_LIMIT: '1/4s' });
    const token = await createToken({ user_id: 'uaa-id-denied' });
    const opened = await countOpened(async () => {
      expect((await client.send({ token })).status).toBe(201);
      expect((await client.send({ token })).status).toBe(429);
    });
    expect(opened).toBe(2);
    const refused = await countOpened(async () => {
      for (let tries = 0; tries < 20; tries += 1) expect(await client.send({ token })).toMatchObject({ code: 10013 });
    });
    expect(refused).toBe(0);
    const { headers } = await client.send({ token });
    await sleep(Number(headers['retry-after']) * 1_000);
    expect(await countOpened(async () => expect((await client.send({ token })).status).toBe(201))).toBe(1);
  });

  it('are not opened for a flood without a token that is good', async () => {
    await start({ ADMIN_TOKEN: 'an-admin-token-of-some-length', RATE_LIMIT_UNAUTHENTICATED: '30/1h' });
    const forged = await signToken(toClaims(), createSecret('another secret, which is as long as it must be'));
    const expired = await createToken({ exp: 1 });
    const codes = new Set<number | undefined>();
    const opened = await countOpened(async () => {
      for (let tries = 0; tries < 20; tries += 1) {
        const requests = [
          { token: null },
          { token: forged },
          { token: expired },
          { headers: { Authorization: 'Basic Y2Y6' }, token: null },
          { method: 'GET', path: '/_holdover/readyz', token: null },
          { method: 'GET', path: '/_holdover/readyz' },
          { method: 'GET', path: '/v2/info', token: null },
          { method: 'POST', path: '/v2/organizations' },
        ];
        for (const { code } of await Promise.all(requests.map((request) => client.send(request)))) codes.add(code);
      }
    });
    expect(opened).toBe(0);
    expect([...codes].sort()).toEqual([1000, 10000, 10002, 10014]);
  });

  it('are all gone after 10,000 requests one after the other and 50 at a time', { timeout: 120_000 }, async () => {
    await start({ RATE_LIMIT: '1000000/1h', LOG_LEVEL: 'error' });
    const failed: unknown[] = [];
    const send = async () => {
      const answer = await client.send(show(PAGE_GUID));
      if (answer.status !== 200) failed.push(answer);
    };
    const opened = await countOpened(async () => {
      for (let request = 0; request < 10_000; request += 1) await send();
      for (let round = 0; round < 4; round += 1) await Promise.all(Array.from({ length: 50 }, send));
    });
    expect(failed).toEqual([]);
    expect(opened).toBe(10_200);
  });

  /** Of the audit trail: each is copied to Redis behind the answer. */
  async function untilLines(count: number): Promise<void> {
    for (let tries = 0; tries < 100 && (await inspector.xlen('holdover:audit')) < count; tries += 1) await sleep(20);
    expect(await inspector.xlen('holdover:audit')).toBe(count);
  }
});
