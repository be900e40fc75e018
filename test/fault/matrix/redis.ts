/** Redis breaks, as the store of limits and as the directory: the rows limits… and directory… of `failure-modes.ts`. */
import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Redis } from 'ioredis';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { FaultProxy } from '../../support/fault-proxy.ts';
import type { Holdover, Runtime } from '../../support/holdover.ts';
import { type KeyServer, startKeyServer } from '../../support/key-server.ts';
import { loadDirectory } from '../../support/load-directory.ts';
import { type MemberBackend, startMemberBackend } from '../../support/member-backend.ts';
import { type RedisServer, startRedis } from '../../support/redis.ts';
import { FAILURE_MODES, type Fault } from '../failure-modes.ts';
import {
  expectMode,
  expectTruth,
  has,
  newMember,
  note,
  REDIS_TIMEOUT_MS,
  remove,
  type Seen,
  start,
  startTlsProxy,
  toDirectory,
  untilWell,
} from '../rig.ts';
import { breakRedis } from './break-redis.ts';

const CACHE_SECONDS = 1;
/** In a day: few enough that none comes back between two calls whose counts are compared. */
const LIMIT = 1_000;

const FAULTS = [
  ...new Set([
    ...FAILURE_MODES.directoryCold.faults,
    ...FAILURE_MODES.limitsLocal.faults,
    ...FAILURE_MODES.limitsKept.faults,
  ]),
].filter((fault) => fault !== 'down at start' && fault !== 'failover by REPLICAOF');

/** One Redis for everything, limits in process while it is away. */
export function redisSuite(runtime: Runtime): void {
  describe.concurrent(`Redis, on ${runtime}`, () => {
    const directory = toDirectory(['main'], FAULTS.length + 1);
    let redis: RedisServer;
    let other: RedisServer;
    let control: Redis;
    let proxy: FaultProxy;
    let backend: MemberBackend;
    /** Anything that answers, and counts who asks: nobody may be passed on. */
    let origin: KeyServer;
    let holdover: Holdover;
    let colds = 0;
    beforeAll(async () => {
      [redis, other] = await Promise.all([startRedis({ own: true }), startRedis({ own: true })]);
      control = redis.client();
      await control.config('SET', 'repl-diskless-sync-delay', 0);
      await other.client().replicaof('127.0.0.1', redis.port);
      await loadDirectory(redis.url, directory);
      backend = await startMemberBackend(['main']);
      origin = await startKeyServer();
      proxy = await startTlsProxy(redis.port);
      await proxy.break({ kind: 'refuse' });
      holdover = await start(runtime, backend, {
        REDIS_URL: `rediss://${proxy.host}`,
        LEGACY_ORIGIN_URL: new URL(origin.url).origin,
        ORGANIZATION_CACHE_SECONDS: `${CACHE_SECONDS}`,
        RATE_LIMIT: `${LIMIT}/24h`,
      });
    });
    afterAll(async () => {
      await holdover?.stop();
      await proxy?.close();
      await Promise.all([backend?.close(), origin?.close()]);
      await Promise.all([redis?.stop(), other?.stop()]);
    });

    const nextCold = () => {
      colds += 1;
      return `cold-${colds}`;
    };
    /** Somebody new asks, and is counted in Redis. */
    const askCounted = async (guid: string, user: string, store = control): Promise<Seen | undefined> => {
      const caller = randomUUID();
      const seen = await remove(holdover, { guid, user, caller });
      return (await store.exists(`holdover:limit:caller:"${caller}"`)) === 1 ? seen : undefined;
    };

    it.sequential('down at start', async () => {
      const [guid, user] = [nextCold(), newMember(backend)];
      const seen = await remove(holdover, { guid, user });
      await expectMode(holdover, 'directoryCold', seen);
      if (holdover.adminUrl) expect((await fetch(`${holdover.adminUrl}/readyz`)).status).toBe(503);
      await proxy.heal();
      const well = await untilWell('directoryCold', () => askCounted(guid, user));
      await expectTruth(holdover, backend, user, well);
      if (holdover.adminUrl) expect((await fetch(`${holdover.adminUrl}/readyz`)).status).toBe(200);
      note('directoryCold', 'down at start', runtime);
    });

    it.sequential.each(FAULTS)('%s', async (fault) => {
      const user = randomUUID();
      const caller = await newCaller(user);
      // What is held is past its time to live: it serves only because the source fails.
      await sleep(CACHE_SECONDS * 1_000 + 50);
      const [guid, stranger] = [nextCold(), newMember(backend)];
      const undo = await breakRedis(fault, proxy, control);
      try {
        await expectBroken(fault, user, caller, guid, stranger);
      } finally {
        await undo();
        if (fault === 'flushed') await loadDirectory(redis.url, directory);
      }
      const well = await untilWell('directoryCold', () => askCounted(guid, stranger));
      await expectTruth(holdover, backend, stranger, well);
    });

    /** Somebody whom Redis has counted twice. */
    async function newCaller(user: string): Promise<string> {
      for (;;) {
        const caller = randomUUID();
        let seen: Seen | undefined;
        for (let times = 0; times < 2; times += 1) {
          backend.add(user);
          seen = await remove(holdover, { guid: 'main', user, caller });
        }
        const micros = await control.get(`holdover:limit:caller:"${caller}"`);
        if (micros !== null && seen?.remaining === LIMIT - 2) return caller;
      }
    }

    async function expectBroken(fault: Fault, user: string, caller: string, guid: string, stranger: string) {
      backend.add(user);
      const warm = await remove(holdover, { guid: 'main', user, caller });
      if (has('limitsLocal', fault)) {
        await expectMode(holdover, 'limitsLocal', { ...warm, ms: warm.ms - 2 * REDIS_TIMEOUT_MS });
        // Redis would have said one less than it said last.
        expect(warm.remaining).toBeGreaterThan(LIMIT - 3);
        note('limitsLocal', fault, runtime);
      }
      if (has('directoryCached', fault)) {
        await expectMode(holdover, 'directoryCached', warm);
        note('directoryCached', fault, runtime);
      }
      if (has('limitsKept', fault)) {
        await expectMode(holdover, 'limitsKept', warm);
        expect(warm.remaining).toBe(LIMIT - 3);
        note('limitsKept', fault, runtime);
      }
      await expectTruth(holdover, backend, user, warm);
      if (!has('directoryCold', fault)) return;
      const cold = await remove(holdover, { guid, user: stranger });
      await expectMode(holdover, 'directoryCold', cold);
      expect(backend.triesFor(stranger)).toBe(0);
      expect(origin.asked).toEqual([]);
      await expectTruth(holdover, backend, stranger, cold);
      note('directoryCold', fault, runtime);
    }

    it.sequential('failover by REPLICAOF', async () => {
      const [caller, user] = [randomUUID(), newMember(backend)];
      expect((await remove(holdover, { guid: 'main', user, caller })).remaining).toBe(LIMIT - 1);
      await control.wait(1, 1_000);
      const next = other.client();
      await next.replicaof('NO', 'ONE');
      await control.replicaof('127.0.0.1', other.port);
      proxy.retarget(other.port);

      backend.add(user);
      const seen = await remove(holdover, { guid: 'main', user, caller });
      await expectMode(holdover, 'limitsKept', seen);
      await expectTruth(holdover, backend, user, seen);
      await untilWell('limitsKept', () => askCounted('main', newMember(backend), next));
      backend.add(user);
      const { remaining = LIMIT } = await remove(holdover, { guid: 'main', user, caller });
      expect(remaining).toBeLessThanOrEqual(LIMIT - 2);
      note('limitsKept', 'failover by REPLICAOF', runtime);
    });
  });
}

/** RATE_LIMIT_ON_FAILURE other than `local`. */
export function redisPolicySuite(runtime: Runtime, onFailure: 'open' | 'closed', directoryFile?: string): void {
  const name = onFailure === 'open' ? 'limitsOpen' : 'limitsClosed';
  describe.concurrent(`Redis with RATE_LIMIT_ON_FAILURE=${onFailure}, on ${runtime}`, () => {
    let redis: RedisServer;
    let proxy: FaultProxy;
    let backend: MemberBackend;
    let holdover: Holdover;
    beforeAll(async () => {
      redis = await startRedis({ own: true });
      await loadDirectory(redis.url, toDirectory(['main']));
      backend = await startMemberBackend(['main']);
      proxy = await startTlsProxy(redis.port);
      if (directoryFile) await proxy.break({ kind: 'refuse' });
      holdover = await start(runtime, backend, {
        REDIS_URL: `rediss://${proxy.host}`,
        RATE_LIMIT_ON_FAILURE: onFailure,
        ...(directoryFile ? { ORGANIZATIONS: `file:${directoryFile}` } : {}),
      });
    });
    afterAll(async () => {
      await holdover?.stop();
      await proxy?.close();
      await backend?.close();
      await redis?.stop();
    });

    it.sequential.each(FAILURE_MODES[name].faults)('%s', async (fault) => {
      const user = newMember(backend);
      const undo = fault === 'down at start' ? () => proxy.heal() : await breakRedis(fault, proxy, redis.client());
      const seen = await remove(holdover, { guid: 'main', user });
      await expectMode(holdover, name, seen);
      expect(seen.remaining).toBeUndefined();
      if (onFailure === 'closed') expect(backend.triesFor(user)).toBe(0);
      await expectTruth(holdover, backend, user, seen);
      await undo();
      const well = await untilWell(name, async () => {
        const again = await remove(holdover, { guid: 'main', user });
        return again.remaining === undefined ? undefined : again;
      });
      await expectTruth(holdover, backend, user, well);
      note(name, fault, runtime);
    });
  });
}
