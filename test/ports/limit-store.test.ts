/** What every limit store promises, run on each: the process's own, one Redis, and a Redis Cluster of three nodes. */
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { build } from 'esbuild';
import { type Cluster, Redis } from 'ioredis';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { createLocalLimitStore } from '../../src/policy/local-limit-store.ts';
import type { LimitStore, Quota } from '../../src/policy/rate-limit.ts';
import { createRedisLimitStore } from '../../src/redis/limiter.ts';
import { monotonicMs } from '../support/limiter.ts';
import { canOwnRedis, type RedisServer, startRedis, startRedisCluster } from '../support/redis.ts';

const TIMEOUT_MS = 2000;
const QUOTA: Quota = { limit: 5, periodSeconds: 3600 };
const HOUR_MICROS = 3_600_000_000;

interface Opened {
  readonly store: LimitStore;
  /** Two stores that count together: two processes of one deployment; the process's own store has no other. */
  readonly replicas: readonly LimitStore[];
  readonly keys: () => Promise<{ key: string; ttlMs: number }[]>;
  readonly close: () => Promise<void>;
}

async function openLocal(): Promise<Opened> {
  const store = createLocalLimitStore({ monotonicMs, epochMs: Date.now });
  return { store, replicas: [store], keys: async () => [], close: async () => undefined };
}

async function openRedis(toStoreOf = toStore): Promise<Opened> {
  const server = await startRedis();
  const clients = [server.client(), server.client(), server.client()];
  const replicas = clients.map(toStoreOf);
  const [store = toStoreOf(server.client())] = replicas;
  return { store, replicas, keys: () => keysOf(server.client()), close: () => server.stop() };
}

const toSharedStore = (redis: Redis | Cluster) =>
  createRedisLimitStore(redis, { timeoutMs: TIMEOUT_MS, monotonicMs, isShared: true });

async function openCluster(): Promise<Opened> {
  const cluster = await startRedisCluster(3);
  const replicas = [cluster.client(), cluster.client()].map(toStore);
  const [store = toStore(cluster.client())] = replicas;
  const keys = async () => (await Promise.all(cluster.nodes.map((node) => keysOf(node.client())))).flat();
  return { store, replicas, keys, close: () => cluster.stop() };
}

const toStore = (redis: Redis | Cluster) => createRedisLimitStore(redis, { timeoutMs: TIMEOUT_MS, monotonicMs });

async function keysOf(redis: Redis) {
  const keys = await redis.keys('*');
  return Promise.all(keys.map(async (key) => ({ key, ttlMs: await redis.pttl(key) })));
}

const HAS_OWN_SERVER = await canOwnRedis();

const STORES = [
  { name: 'in process', open: openLocal },
  { name: 'Redis', open: () => openRedis() },
  { name: 'Redis, one call for all of a turn', open: () => openRedis(toSharedStore) },
  ...(HAS_OWN_SERVER ? [{ name: 'Redis Cluster', open: openCluster }] : []),
];

describe.each(STORES)('a limit store: $name', ({ open }) => {
  let opened: Opened;
  let store: LimitStore;
  let run = 0;
  /** A key no other test uses. */
  let key = '';

  beforeAll(async () => {
    opened = await open();
    store = opened.store;
  });
  afterAll(() => opened.close());
  beforeEach(() => {
    run += 1;
    key = `caller:"${run}"`;
  });

  it('allows N in a burst and refuses the next', async () => {
    const answers = [];
    for (let i = 0; i < 7; i += 1) answers.push((await store.take(key, QUOTA)).isAllowed);
    expect(answers).toEqual([true, true, true, true, true, false, false]);
  });

  it('allows exactly N of 5 N at once, whichever replica is asked', async () => {
    const quota = { limit: 40, periodSeconds: 3600 };
    const asked = Array.from({ length: 200 }, (_, i) => {
      const replica = opened.replicas[i % opened.replicas.length] ?? store;
      return replica.take(key, quota);
    });
    const answers = await Promise.all(asked);
    expect(answers.filter(({ isAllowed }) => isAllowed)).toHaveLength(40);
  });

  it('counts each key for itself, wherever it lies', async () => {
    const names = Array.from({ length: 60 }, (_, i) => `${key}:${i}`);
    const answers = await Promise.all(
      names.flatMap((name) => Array.from({ length: 10 }, async () => (await store.take(name, QUOTA)).isAllowed)),
    );
    expect(answers.filter(Boolean)).toHaveLength(60 * QUOTA.limit);
    for (const name of names) expect((await store.take(name, QUOTA)).isAllowed).toBe(false);
  });

  it('says in microseconds how long until the quota is whole, and when that was', async () => {
    const before = Date.now();
    const first = await store.take(key, QUOTA);
    expect(first).toMatchObject({ isAllowed: true, fullInMicros: HOUR_MICROS / 5 });
    expect(first.atMicros / 1000).toBeGreaterThan(before - 1000);
    expect(first.atMicros / 1000).toBeLessThan(Date.now() + 1000);
    const second = await store.take(key, QUOTA);
    const passed = second.atMicros - first.atMicros;
    // The process counts by one clock and tells the time by another, so for it these agree to milliseconds only.
    expect(Math.abs(second.fullInMicros - ((HOUR_MICROS / 5) * 2 - passed))).toBeLessThan(5000);
  });

  it('gives units back as time passes', async () => {
    const quick = { limit: 2, periodSeconds: 0.2 };
    for (let i = 0; i < 2; i += 1) expect((await store.take(key, quick)).isAllowed).toBe(true);
    const refused = await store.take(key, quick);
    expect(refused.isAllowed).toBe(false);
    await new Promise((resolve) => setTimeout(resolve, 110));
    expect((await store.take(key, quick)).isAllowed).toBe(true);
  });

  it('lets a caller in again soon after the quota was lowered', async () => {
    for (let i = 0; i < 5; i += 1) await store.take(key, { limit: 5, periodSeconds: 86_400 });
    const lowered = { limit: 10, periodSeconds: 0.5 };
    expect(await store.take(key, lowered)).toMatchObject({ isAllowed: false, fullInMicros: 500_000 });
    await new Promise((resolve) => setTimeout(resolve, 60));
    expect((await store.take(key, lowered)).isAllowed).toBe(true);
  });

  it('takes any key: 255 characters, braces, line ends, quotes', async () => {
    const strange = ['{a}', '{b}', '\r\nDEL x', '"', '', 'x'.repeat(255), '€'.repeat(255)].map((name) => key + name);
    for (const name of strange) {
      const answers = [];
      for (let i = 0; i < 6; i += 1) answers.push((await store.take(name, QUOTA)).isAllowed);
      expect(answers).toEqual([true, true, true, true, true, false]);
    }
  });

  it('leaves nothing behind that does not expire', async () => {
    await store.take(key, QUOTA);
    for (const { key: name, ttlMs } of await opened.keys()) {
      expect(name).toMatch(/^holdover:limit:/);
      expect(ttlMs, name).toBeGreaterThan(0);
      expect(ttlMs, name).toBeLessThanOrEqual(86_400_000 + 1000);
    }
  });
});

describe('the process', () => {
  it('keeps a bounded number of keys, and forgets the one that was idle longest', async () => {
    const store = createLocalLimitStore({ monotonicMs, epochMs: Date.now, maxKeys: 3 });
    const once = { limit: 1, periodSeconds: 3600 };
    for (const key of ['a', 'b', 'c', 'a', 'd']) await store.take(key, once);
    expect((await store.take('a', once)).isAllowed).toBe(false);
    expect((await store.take('d', once)).isAllowed).toBe(false);
    expect((await store.take('b', once)).isAllowed).toBe(true);
  });

  it('costs nobody their quota when the wall clock is set back', async () => {
    let epochMs = 1_700_000_000_000;
    const store = createLocalLimitStore({ monotonicMs, epochMs: () => epochMs });
    await store.take('a', QUOTA);
    epochMs -= 86_400_000;
    expect(await store.take('a', QUOTA)).toMatchObject({ isAllowed: true, atMicros: epochMs * 1000 });
  });
});

describe.skipIf(!HAS_OWN_SERVER)('Redis', () => {
  let server: RedisServer;
  let redis: Redis;
  let store: LimitStore;
  beforeAll(async () => {
    server = await startRedis({ own: true });
    redis = server.client();
    store = toStore(redis);
  });
  afterAll(() => server.stop());
  const KEY = 'holdover:limit:k';
  beforeEach(() => redis.del(KEY));

  it('asks once for all that is wanted in one turn, up to a hundred, and gives each its own answer', async () => {
    const shared = createRedisLimitStore(redis, { timeoutMs: TIMEOUT_MS, monotonicMs, isShared: true });
    await shared.take('k', QUOTA);
    const calls = async () => Number(/cmdstat_evalsha:calls=(\d+)/.exec(await redis.info('commandstats'))?.[1]);
    const before = await calls();
    const names = Array.from({ length: 250 }, (_, index) => `turn:${index % 50}`);
    const quotas = [QUOTA, { limit: 2, periodSeconds: 60 }] as const;
    const answers = await Promise.all(names.map((name, index) => shared.take(name, quotas[index % 2] ?? QUOTA)));
    expect((await calls()) - before).toBe(3);
    for (const [index, { isAllowed, fullInMicros }] of answers.entries()) {
      const { limit, periodSeconds } = quotas[index % 2] ?? QUOTA;
      const asked = Math.floor(index / 50) + 1;
      expect(isAllowed, `${index}`).toBe(asked <= limit);
      expect(fullInMicros / 1e6, `${index}`).toBeCloseTo((Math.min(asked, limit) * periodSeconds) / limit, 0);
    }
  });

  it('has one quota stand for all of a turn, where all have the same', async () => {
    const shared = createRedisLimitStore(redis, { timeoutMs: TIMEOUT_MS, monotonicMs, isShared: true });
    const quota = { limit: 3, periodSeconds: 60 };
    const names = Array.from({ length: 60 }, (_, index) => `same:${index % 15}`);
    const answers = await Promise.all(names.map((name) => shared.take(name, quota)));
    for (const [index, { isAllowed, fullInMicros }] of answers.entries()) {
      const asked = Math.floor(index / 15) + 1;
      expect(isAllowed, `${index}`).toBe(asked <= 3);
      expect(fullInMicros / 1e6, `${index}`).toBeCloseTo(Math.min(asked, 3) * 20, 0);
    }
  });

  it('asks for each alone where one address turns out to be a Cluster', async () => {
    const cluster = await startRedisCluster(1);
    const [node] = cluster.nodes;
    const client = new Redis((node as RedisServer).url);
    try {
      const shared = createRedisLimitStore(client, { timeoutMs: TIMEOUT_MS, monotonicMs, isShared: true });
      for (let turn = 0; turn < 2; turn += 1) {
        const answers = await Promise.all(['a', 'b', 'c', 'a'].map((name) => shared.take(name, QUOTA)));
        expect(answers.map(({ isAllowed }) => isAllowed)).toEqual([true, true, true, true]);
      }
      expect((await shared.take('a', QUOTA)).isAllowed).toBe(true);
      expect((await shared.take('a', QUOTA)).isAllowed).toBe(false);
    } finally {
      client.disconnect();
      await cluster.stop();
    }
  });

  it('fails for all of a turn when it fails, also where they are too many for one call', async () => {
    const shared = createRedisLimitStore(redis, { timeoutMs: TIMEOUT_MS, monotonicMs, isShared: true });
    await redis.config('SET', 'maxmemory', '1');
    try {
      const all = await Promise.allSettled(
        Array.from({ length: 150 }, (_, index) => shared.take(`oom:${index}`, QUOTA)),
      );
      expect(new Set(all.map(({ status }) => status))).toEqual(new Set(['rejected']));
    } finally {
      await redis.config('SET', 'maxmemory', '0');
    }
    expect((await shared.take('oom:0', QUOTA)).isAllowed).toBe(true);
  });

  it('decides by the clock of the server, not of the process', async () => {
    const [seconds = '', micros = ''] = (await redis.time()).map(String);
    const { atMicros } = await store.take('k', QUOTA);
    expect(atMicros).toBeGreaterThanOrEqual(Number(seconds) * 1e6 + Number(micros));
    const [after = ''] = (await redis.time()).map(String);
    expect(atMicros).toBeLessThan((Number(after) + 1) * 1e6);
  });

  it('writes one integer of microseconds, and lets it expire once the quota is whole', async () => {
    const { atMicros, fullInMicros } = await store.take('k', QUOTA);
    expect(await redis.get(KEY)).toBe(`${atMicros + fullInMicros}`);
    const ttlMs = await redis.pttl(KEY);
    expect(ttlMs).toBeGreaterThanOrEqual(fullInMicros / 1000);
    expect(ttlMs).toBeLessThanOrEqual(fullInMicros / 1000 + 1001);
  });

  it.each(['', 'abc', 'nan', '-nan', '-inf', '-5', '0', '{}', '1700000000000000', '0x10'])(
    'takes the foreign value %j for a quota that is whole, and replaces it',
    async (value) => {
      await redis.set(KEY, value);
      expect(await store.take('k', QUOTA)).toMatchObject({ isAllowed: true, fullInMicros: HOUR_MICROS / 5 });
      expect(await redis.get(KEY)).toMatch(/^\d{16}$/);
      expect(await redis.pttl(KEY)).toBeGreaterThan(0);
    },
  );

  it.each(['inf', '1e300', '9007199254740993', `${Number.MAX_SAFE_INTEGER}`, '99999999999999999999999999'])(
    'takes the foreign value %j for a quota just spent, so that it heals by itself',
    async (value) => {
      await redis.set(KEY, value);
      const quick = { limit: 10, periodSeconds: 0.2 };
      expect(await store.take('k', quick)).toMatchObject({ isAllowed: false, fullInMicros: 200_000 });
      expect(await redis.pttl(KEY)).toBeGreaterThan(0);
      await new Promise((resolve) => setTimeout(resolve, 25));
      expect((await store.take('k', quick)).isAllowed).toBe(true);
    },
  );

  it('replaces a key of another type', async () => {
    await redis.hset(KEY, 'a', 'b');
    expect(await store.take('k', QUOTA)).toMatchObject({ isAllowed: true });
    expect(await redis.type(KEY)).toBe('string');
    expect(await redis.pttl(KEY)).toBeGreaterThan(0);
  });

  it('heals when the clock of the server was set back by an hour', async () => {
    const { atMicros } = await store.take('k', QUOTA);
    await redis.set(KEY, `${atMicros + 2 * HOUR_MICROS}`, 'PX', 7_200_000);
    expect(await store.take('k', QUOTA)).toMatchObject({ isAllowed: false, fullInMicros: HOUR_MICROS });
    expect(await redis.pttl(KEY)).toBeLessThanOrEqual(HOUR_MICROS / 1000 + 1000);
  });

  it('allows exactly N of 5 N between two processes', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'holdover-limit-'));
    const outfile = join(folder, 'limit-process.mjs');
    // ioredis is CommonJS and asks for node's modules by `require`.
    const banner = { js: `import{createRequire as r}from"node:module";const require=r("/");` };
    const entryPoints = ['test/support/limit-process.ts'];
    await build({ entryPoints, bundle: true, platform: 'node', format: 'esm', target: 'node20', banner, outfile });
    const processes = [1, 2].map(() => fork(outfile, [server.url, 'shared', '300', '750'], { execArgv: [] }));
    await Promise.all(processes.map((child) => once(child, 'message')));
    const allowed = processes.map(async (child) => Number((await once(child, 'message'))[0]));
    for (const child of processes) child.send('go');
    const [one = 0, other = 0] = await Promise.all(allowed);
    rmSync(folder, { recursive: true });
    expect(one + other).toBe(300);
  });

  it('asks once, in one command, when the script is known', async () => {
    await store.take('k', QUOTA);
    const before = await commandCalls(redis);
    for (let i = 0; i < 10; i += 1) await store.take('k', QUOTA);
    const after = await commandCalls(redis);
    expect((after.get('evalsha') ?? 0) - (before.get('evalsha') ?? 0)).toBe(10);
    expect(after.get('eval') ?? 0).toBe(before.get('eval') ?? 0);
  });
});

async function commandCalls(redis: Redis): Promise<Map<string, number>> {
  const stats = await redis.info('commandstats');
  return new Map(
    [...stats.matchAll(/^cmdstat_(\w+):calls=(\d+)/gm)].map(([, name = '', calls]) => [name, Number(calls)]),
  );
}
