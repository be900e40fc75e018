/** The directory in a file breaks, and Redis is down when Holdover starts: on Node, which alone has files. */
import { mkdirSync, mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { FaultProxy } from '../../support/fault-proxy.ts';
import type { Holdover } from '../../support/holdover.ts';
import { type MemberBackend, startMemberBackend } from '../../support/member-backend.ts';
import { type RedisServer, startRedis } from '../../support/redis.ts';
import { FAILURE_MODES, type Fault } from '../failure-modes.ts';
import {
  expectMode,
  expectTruth,
  newMember,
  note,
  remove,
  start,
  startTlsProxy,
  toDirectory,
  untilWell,
} from '../rig.ts';

/** The file is looked at once a second. */
const NOTICED_WITHIN_MS = 6_000;

export function fileSuite(): void {
  describe.concurrent('the directory in a file, on node', () => {
    const folder = mkdtempSync(join(tmpdir(), 'holdover-matrix-'));
    const file = join(folder, 'organizations.json');
    /** As an operator's tools do: a new file takes the place of the old one. */
    const write = (text: string) => {
      rmSync(file, { recursive: true, force: true });
      writeFileSync(`${file}.new`, text);
      renameSync(`${file}.new`, file);
    };
    let redis: RedisServer;
    let proxy: FaultProxy;
    let backend: MemberBackend;
    let holdover: Holdover;
    beforeAll(async () => {
      redis = await startRedis();
      backend = await startMemberBackend(['main']);
      proxy = await startTlsProxy(redis.port);
      await proxy.break({ kind: 'refuse' });
      write(toDirectory(['main']));
      const database = new URL(redis.url).pathname;
      const REDIS_URL = `rediss://${proxy.host}${database}`;
      holdover = await start('node', backend, { REDIS_URL, ORGANIZATIONS: `file:${file}` });
    });
    afterAll(async () => {
      await holdover?.stop();
      await proxy?.close();
      await backend?.close();
      await redis?.stop();
      rmSync(folder, { recursive: true, force: true });
    });

    it.sequential('Redis down at start', async () => {
      const user = newMember(backend);
      const seen = await remove(holdover, { guid: 'main', user, caller: 'early' });
      await expectMode(holdover, 'limitsLocal', seen);
      await expectTruth(holdover, backend, user, seen);
      expect((await fetch(`${holdover.adminUrl}/readyz`)).status).toBe(200);
      await proxy.heal();
      await untilWell('limitsLocal', async () => {
        const again = await remove(holdover, { guid: 'main', user, caller: 'late' });
        return (await redis.client().exists('holdover:limit:caller:"late"')) === 1 ? again : undefined;
      });
      note('limitsLocal', 'down at start', 'node');
    });

    const breakFile = (fault: Fault) => {
      rmSync(file, { recursive: true, force: true });
      if (fault === 'not JSON') write('{"organizations": [');
      if (fault === 'wrong shape') write('{"organizations": [{"guid": 1}], "users": {}}');
      if (fault === 'a folder in its place') mkdirSync(file);
    };

    it.sequential.each(FAILURE_MODES.directoryFile.faults)('%s', async (fault) => {
      const before = holdover.lines.length;
      const noticed = (text: string) =>
        holdover.waitForLine(
          (line) => line['message'] === text && holdover.lines.indexOf(line) >= before,
          NOTICED_WITHIN_MS,
        );
      breakFile(fault);
      await noticed('file not usable, its last good version stays in force');
      const user = newMember(backend);
      const seen = await remove(holdover, { guid: 'main', user });
      await expectMode(holdover, 'directoryFile', seen);
      await expectTruth(holdover, backend, user, seen);

      write(toDirectory(['main'], 1));
      const well = await untilWell('directoryFile', () =>
        remove(holdover, { guid: 'cold-1', user: newMember(backend) }),
      );
      expect(well.status).toBe(201);
      write(toDirectory(['main']));
      const endsAt = performance.now() + NOTICED_WITHIN_MS;
      while ((await remove(holdover, { guid: 'cold-1', user: newMember(backend) })).status !== 404) {
        expect(performance.now()).toBeLessThan(endsAt);
      }
      note('directoryFile', fault, 'node');
    });

    it.sequential.each(FAILURE_MODES.directoryFileAtStart.faults)('%s', async (fault) => {
      const other = join(folder, `${fault.replaceAll(' ', '-')}.json`);
      if (fault === 'not JSON at start') writeFileSync(other, '{');
      const started = start('node', backend, { ORGANIZATIONS: `file:${other}` });
      await expect(started).rejects.toThrow(/ended with 1[\s\S]*ORGANIZATIONS/);
      note('directoryFileAtStart', fault, 'node');
    });
  });
}
