/**
 * Many requests in one isolate of workerd, where a promise or socket of one request is of no use to another: all are
 * answered, loads are shared, and a request that is cancelled hangs nobody.
 */
import { once } from 'node:events';
import { createServer } from 'node:http';
import { type AddressInfo, connect, createServer as createTcpServer, type Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { type Environment, type Holdover, startOnWorkerd } from '../support/holdover.ts';
import { startKeyServer } from '../support/key-server.ts';
import { canOwnRedis } from '../support/redis.ts';
import {
  type Client,
  openClient,
  openSurroundings,
  type Surroundings,
  sendAndAbandon,
  toHealthyStep,
} from '../support/surroundings.ts';
import { createRsaKey, signToken, toClaims } from '../support/tokens.ts';

const MANY = 50;

/** How long a follower waits for another request's load before it loads for itself. */
const FOLLOWER_WAIT_MS = 1_000;
/** The load, and what a busy machine may add. */
const SLACK_MS = 1_500;

let around: Surroundings;
let holdover: Holdover;
let client: Client;
const closers: (() => Promise<unknown> | unknown)[] = [];

beforeAll(async () => {
  around = await openSurroundings();
});
afterAll(() => around.close());
beforeEach(() => around.backend.play(toHealthyStep));
afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close();
  expect(holdover.noise).toEqual([]);
});

/** Each test has an isolate that has served nothing yet. */
async function start(changes: Environment = {}, without: readonly string[] = []): Promise<void> {
  const env = Object.entries({ ...around.env, ...changes }).filter(([name]) => !without.includes(name));
  holdover = await startOnWorkerd(Object.fromEntries(env));
  client = openClient(holdover.url);
  closers.push(
    () => holdover.stop(),
    () => client.close(),
  );
}

async function sendMany(count: number, request?: Parameters<Client['send']>[0]): Promise<number[]> {
  const answers = await Promise.all(Array.from({ length: count }, () => client.send(request)));
  return answers.map(({ status }) => status);
}

const all = (count: number) => Array.from({ length: count }, () => 201);

describe.skipIf(!(await canOwnRedis()))('an isolate', () => {
  it('answers its second, its third and 50 concurrent requests', async () => {
    await start();
    for (let request = 1; request <= 3; request += 1)
      expect(await client.send(), `${request}`).toMatchObject({ status: 201 });
    expect(await sendMany(MANY)).toEqual(all(MANY));
    expect((await client.send()).status).toBe(201);
  });

  it('answers 50 requests that are its first, with one access token for all', async () => {
    await start();
    expect(await sendMany(MANY)).toEqual(all(MANY));
    expect(around.backend.callsTo('remove')).toHaveLength(MANY);
    expect(around.backend.callsTo('token')).toHaveLength(1);
  });

  it('fetches the key set once for 50 requests that are its first', async () => {
    const key = createRsaKey({ kid: 'first' });
    const keys = await startKeyServer([key.jwk]);
    closers.push(() => keys.close());
    await start({ LEGACY_TOKEN_KEYS_URL: keys.url }, ['LEGACY_TOKEN_SECRET']);
    expect(await sendMany(MANY, { token: await signToken(toClaims(), key) })).toEqual(all(MANY));
    expect(keys.asked).toHaveLength(1);
  });

  it('lets requests wait for a backend slot, and one at a time go', async () => {
    await start({ BACKEND_CONCURRENCY: '1' });
    around.backend.play((call) => (call.endpoint === 'remove' ? { status: 204, delayMs: 20 } : toHealthyStep(call)));
    expect(await sendMany(20)).toEqual(all(20));
    expect(around.backend.callsTo('remove')).toHaveLength(20);
    expect(around.backend.mostConcurrent).toBe(1);
  });

  it('gives the slot of a removal back whose client has hung up', async () => {
    await start({ BACKEND_CONCURRENCY: '1' });
    await client.send();
    around.backend.play({ remove: [{ status: 204, delayMs: 500 }, { status: 204 }] });
    const abandon = await sendAndAbandon(holdover.url);
    await until(() => around.backend.callsTo('remove').length === 1);
    abandon();
    expect((await client.send()).status).toBe(201);
    around.backend.verify();
  });
});

describe.skipIf(!(await canOwnRedis()))(
  'where the request that loads for all is cancelled, the others are answered: its load was',
  () => {
    const FOLLOWERS = 10;

    /** Starts a leader, waits until `isLoading`, lets others follow, cancels the leader; how long the others then took. */
    async function cancelLeader(isLoading: () => boolean, request?: Parameters<Client['send']>[0]): Promise<number> {
      const abandon = await sendAndAbandon(holdover.url, request);
      await until(isLoading);
      const startedAt = performance.now();
      const followers = sendMany(FOLLOWERS, request);
      await sleep(50);
      abandon();
      expect(await followers).toEqual(all(FOLLOWERS));
      return performance.now() - startedAt;
    }

    it('the key set', async () => {
      const key = createRsaKey({ kid: 'first' });
      let asked = 0;
      const server = createServer((_request, response) => {
        asked += 1;
        if (asked > 1) response.end(JSON.stringify({ keys: [key.jwk] }));
      }).listen(0, '127.0.0.1');
      await once(server, 'listening');
      closers.push(() => server.close().closeAllConnections());
      const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/token_keys`;
      await start({ LEGACY_TOKEN_KEYS_URL: url }, ['LEGACY_TOKEN_SECRET']);
      const tookMs = await cancelLeader(() => asked === 1, { token: await signToken(toClaims(), key) });
      expect(tookMs).toBeLessThan(FOLLOWER_WAIT_MS + SLACK_MS);
      expect(asked).toBe(2);
    });

    it('an organization', async () => {
      const stalling = await startStallingProxy(around.redis.port);
      closers.push(() => stalling.close());
      await start({ REDIS_URL: stalling.url, RATE_LIMIT: 'off' });
      const tookMs = await cancelLeader(() => stalling.hasStalled());
      expect(tookMs).toBeLessThan(FOLLOWER_WAIT_MS + SLACK_MS);
    });

    it('an access token of the backend', async () => {
      await start();
      let asked = 0;
      around.backend.play((call) => {
        if (call.endpoint === 'token') asked += 1;
        return call.endpoint === 'token' && asked === 1 ? { fault: 'stall' } : toHealthyStep(call);
      });
      const tookMs = await cancelLeader(() => asked === 1);
      expect(tookMs).toBeLessThan(FOLLOWER_WAIT_MS + SLACK_MS);
      expect(asked).toBe(2);
    });
  },
);

async function until(isSo: () => boolean): Promise<void> {
  for (let tries = 0; tries < 500 && !isSo(); tries += 1) await sleep(10);
  expect(isSo()).toBe(true);
}

/** Before a Redis: what comes on the first connection gets no answer. */
async function startStallingProxy(redisPort: number) {
  const sockets = new Set<Socket>();
  let isFirst = true;
  let hasStalled = false;
  const server = createTcpServer((socket) => {
    sockets.add(socket.on('error', () => undefined));
    if (isFirst) {
      isFirst = false;
      socket.once('data', () => {
        hasStalled = true;
      });
      return;
    }
    const redis = connect(redisPort, '127.0.0.1').on('error', () => undefined);
    sockets.add(redis);
    socket.pipe(redis).pipe(socket);
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    url: `redis://127.0.0.1:${(server.address() as AddressInfo).port}`,
    hasStalled: () => hasStalled,
    close() {
      for (const socket of sockets) socket.destroy();
      server.close();
    },
  };
}
