/** The backend's token endpoint breaks: the rows token… of `failure-modes.ts`. */
import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { FaultProxy } from '../../support/fault-proxy.ts';
import type { Holdover, Runtime } from '../../support/holdover.ts';
import { loadDirectory } from '../../support/load-directory.ts';
import { type MemberBackend, startMemberBackend } from '../../support/member-backend.ts';
import { type RedisServer, startRedis } from '../../support/redis.ts';
import { FAILURE_MODES, type Fault } from '../failure-modes.ts';
import {
  BACKEND_TIMEOUT_MS,
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

const FAULTS = FAILURE_MODES.tokenCold.faults;
const toCredential = (fault: Fault) => `for-${FAULTS.indexOf(fault as (typeof FAULTS)[number])}`;

const breakEndpoint = (fault: Fault, proxy: FaultProxy) =>
  breakHttp(fault, proxy, {
    slowMs: 2 * BACKEND_TIMEOUT_MS,
    wrongShape: toHttp('200 OK', '{"access_token":["a"],"token_type":"Bearer"}'),
  });

/** Each fault meets a credential that has no token yet, and one that has. */
export function tokenEndpointSuite(runtime: Runtime): void {
  describe.concurrent(`the token endpoint, on ${runtime}`, () => {
    const credentials = ['main', ...FAULTS.map(toCredential)];
    let redis: RedisServer;
    let proxy: FaultProxy;
    let backend: MemberBackend;
    let holdover: Holdover;
    beforeAll(async () => {
      redis = await startRedis();
      await loadDirectory(redis.url, toDirectory(credentials));
      backend = await startMemberBackend(credentials);
      proxy = await startTlsProxy(backend.port);
      await breakEndpoint('down at start', proxy);
      holdover = await start(runtime, backend, {
        REDIS_URL: redis.url,
        BACKEND_TOKEN_URL: `https://${proxy.host}/oauth/token`,
      });
    });
    afterAll(async () => {
      await holdover?.stop();
      await proxy?.close();
      await backend?.close();
      await redis?.stop();
    });

    it.sequential.each(FAULTS)('%s', async (fault) => {
      const hasCached = fault !== 'down at start';
      await breakEndpoint(fault, proxy);
      if (hasCached) {
        const user = newMember(backend);
        const seen = await remove(holdover, { guid: 'main', user });
        await expectMode(holdover, 'tokenCached', seen);
        await expectTruth(holdover, backend, user, seen);
        note('tokenCached', fault, runtime);
      }
      const [guid, user] = [toCredential(fault), newMember(backend)];
      const seen = await remove(holdover, { guid, user });
      await expectMode(holdover, 'tokenCold', seen);
      expect(backend.triesFor(user)).toBe(0);
      await expectTruth(holdover, backend, user, seen);

      await proxy.heal();
      const well = await untilWell('tokenCold', () => remove(holdover, { guid, user }));
      await expectTruth(holdover, backend, user, well);
      if (!hasCached) await remove(holdover, { guid: 'main', user: randomUUID() });
      note('tokenCold', fault, runtime);
    });
  });
}
