/** The key server breaks: the rows keySet… of `failure-modes.ts`. */
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createUndiciTransport } from '../../../src/http/undici.ts';
import { createKeySet, MAX_STALE_MS, REFRESH_MS } from '../../../src/keys/key-set.ts';
import { NO_METER } from '../../../src/telemetry/meter.ts';
import { NODE_SCOPE } from '../../support/backend-client.ts';
import { type FaultProxy, startFaultProxy } from '../../support/fault-proxy.ts';
import type { Holdover, Runtime } from '../../support/holdover.ts';
import { type KeyServer, startKeyServer } from '../../support/key-server.ts';
import { loadDirectory } from '../../support/load-directory.ts';
import { type MemberBackend, startMemberBackend } from '../../support/member-backend.ts';
import { type RedisServer, startRedis } from '../../support/redis.ts';
import { createRsaKey } from '../../support/tokens.ts';
import { FAILURE_MODES, type Fault } from '../failure-modes.ts';
import {
  breakHttp,
  expectMode,
  expectTruth,
  newMember,
  note,
  remove,
  start,
  startTlsProxy,
  toDirectory,
  toHttp,
  untilWell,
} from '../rig.ts';

const KEY = createRsaKey({ kid: 'known' });
const STRANGER = createRsaKey({ kid: 'unknown' });

/** Until the key set asks again after a failure: its cooldown and a whole attempt. */
const ASKED_AGAIN_WITHIN_MS = 15_000;

const breakServer = (fault: Fault, proxy: FaultProxy) =>
  breakHttp(fault, proxy, { slowMs: 4_000, wrongShape: toHttp('200 OK', '{"keys":"none"}') });

/** Before the first keys: one Holdover, which asks again after each failure's cooldown. */
export function keySetSuite(runtime: Runtime): void {
  describe.concurrent(`the key set, on ${runtime}`, () => {
    let redis: RedisServer;
    let keys: KeyServer;
    let proxy: FaultProxy;
    let backend: MemberBackend;
    let holdover: Holdover;
    beforeAll(async () => {
      redis = await startRedis();
      await loadDirectory(redis.url, toDirectory(['main']));
      backend = await startMemberBackend(['main']);
      keys = await startKeyServer([KEY.jwk]);
      proxy = await startTlsProxy(Number(new URL(keys.url).port));
      await breakServer('down at start', proxy);
      holdover = await start(runtime, backend, {
        REDIS_URL: redis.url,
        LEGACY_TOKEN_KEYS_URL: `https://${proxy.host}/token_keys`,
      });
    });
    afterAll(async () => {
      await holdover?.stop();
      await proxy?.close();
      await keys?.close();
      await backend?.close();
      await redis?.stop();
    });
    const ask = (user: string, key = KEY) => remove(holdover, { guid: 'main', user, key });

    it.sequential.each(FAILURE_MODES.keySetCold.faults)('%s', { timeout: 30_000 }, async (fault) => {
      const user = newMember(backend);
      await breakServer(fault, proxy);
      const before = proxy.touched;
      const endsAt = performance.now() + ASKED_AGAIN_WITHIN_MS;
      do {
        const seen = await ask(user);
        await expectMode(holdover, 'keySetCold', seen);
        expect(backend.triesFor(user)).toBe(0);
        if (fault !== 'refused' && fault !== 'down at start') await sleep(250);
        expect(performance.now()).toBeLessThan(endsAt);
      } while (proxy.touched === before && fault !== 'refused' && fault !== 'down at start');
      note('keySetCold', fault, runtime);
    });

    it.sequential('healed', { timeout: 30_000 }, async () => {
      if (holdover.adminUrl) expect((await fetch(`${holdover.adminUrl}/readyz`)).status).toBe(503);
      await proxy.heal();
      const user = newMember(backend);
      const seen = await untilWell('keySetCold', () => ask(user));
      await expectTruth(holdover, backend, user, seen);
      if (holdover.adminUrl) expect((await fetch(`${holdover.adminUrl}/readyz`)).status).toBe(200);
    });

    it.sequential('TLS not trusted once it was loaded', async () => {
      await breakServer('TLS not trusted', proxy);
      const user = newMember(backend);
      const unknown = await ask(user, STRANGER);
      expect(unknown).toMatchObject({ status: 401, code: 1000 });
      const seen = await ask(user);
      await expectMode(holdover, 'keySetLoaded', seen);
      await expectTruth(holdover, backend, user, seen);
      note('keySetLoaded', 'TLS not trusted', 'node');
    });
  });
}

/** Refreshes are five minutes apart, and keys serve for a day: the key set itself, over real connections, with a clock that is put forward. */
export function staleKeySetSuite(): void {
  const faults = FAILURE_MODES.keySetLoaded.faults.filter((fault) => fault !== 'TLS not trusted');
  describe.concurrent('the key set, once it was loaded', () => {
    it.sequential.each(faults)('%s: serves on for a day', async (fault) => {
      const keys = await startKeyServer([KEY.jwk]);
      const proxy = await startFaultProxy({ targetPort: Number(new URL(keys.url).port) });
      const transport = createUndiciTransport({ connections: 4 });
      let passedMs = 0;
      const log = { debug() {}, info() {}, warn() {}, error() {} };
      const keySet = createKeySet({
        url: `http://127.0.0.1:${proxy.port}/token_keys`,
        transport: transport.send,
        monotonicMs: () => performance.now() + passedMs,
        log,
        meter: NO_METER,
      });
      const find = () => keySet.find({ alg: 'RS256', kid: 'known' }, NODE_SCOPE);
      expect((await find()).ok).toBe(true);

      await breakServer(fault, proxy);
      passedMs += REFRESH_MS;
      expect((await find()).ok).toBe(true);
      // The refresh runs behind it.
      const endsAt = performance.now() + ASKED_AGAIN_WITHIN_MS;
      while (keySet.status().failure === undefined) {
        expect(performance.now()).toBeLessThan(endsAt);
        await sleep(20);
      }
      passedMs += MAX_STALE_MS - REFRESH_MS - 60_000;
      expect((await find()).ok).toBe(true);
      passedMs += 120_000;
      expect(await find()).toMatchObject({ ok: false, failure: { kind: 'unavailable', dependency: 'key-set' } });
      await proxy.heal();
      // The first attempt may still meet a connection that has just ended.
      passedMs += FAILURE_MODES.keySetLoaded.recoversWithinMs;
      if (!(await find()).ok) passedMs += FAILURE_MODES.keySetLoaded.recoversWithinMs;
      expect((await find()).ok).toBe(true);
      await transport.close();
      await proxy.close();
      await keys.close();
      note('keySetLoaded', fault, 'node');
    });
  });
}
