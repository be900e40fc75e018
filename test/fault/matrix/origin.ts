/** The origin breaks, and what is adapted goes on: the rows origin… of `failure-modes.ts`. */
import { once } from 'node:events';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type FaultProxy, startFaultProxy } from '../../support/fault-proxy.ts';
import type { Holdover, Runtime } from '../../support/holdover.ts';
import { loadDirectory } from '../../support/load-directory.ts';
import { type MemberBackend, startMemberBackend } from '../../support/member-backend.ts';
import { openPassthrough } from '../../support/passthrough.ts';
import { rawRequest } from '../../support/raw-request.ts';
import { type RedisServer, startRedis } from '../../support/redis.ts';
import { FAILURE_MODES } from '../failure-modes.ts';
import { breakHttp, expectTruth, newMember, note, remove, start, startTlsProxy, toDirectory, toHttp } from '../rig.ts';

const LONG_BYTES = 2 * 1024 * 1024;
const SLOW_MS = 500;

export function originSuite(runtime: Runtime): void {
  describe.concurrent(`the origin, on ${runtime}`, () => {
    let redis: RedisServer;
    let origin: Server;
    let proxy: FaultProxy;
    let backend: MemberBackend;
    let holdover: Holdover;
    beforeAll(async () => {
      redis = await startRedis();
      await loadDirectory(redis.url, toDirectory(['main']));
      backend = await startMemberBackend(['main']);
      origin = createServer((_request, response) => void response.end(Buffer.alloc(LONG_BYTES, 'x')));
      origin.listen(0, '127.0.0.1');
      await once(origin, 'listening');
      proxy = await startTlsProxy((origin.address() as AddressInfo).port);
      await proxy.break({ kind: 'refuse' });
      holdover = await start(runtime, backend, { REDIS_URL: redis.url, LEGACY_ORIGIN_URL: `https://${proxy.host}` });
    });
    afterAll(async () => {
      await holdover?.stop();
      await proxy?.close();
      origin?.close();
      origin?.closeAllConnections();
      await backend?.close();
      await redis?.stop();
    });

    async function pass(): Promise<{ status: number; code: number | undefined; bytes: number; ms: number }> {
      const began = performance.now();
      const { status, body } = await rawRequest(holdover.url, { method: 'GET', target: '/v2/spaces' });
      const ms = performance.now() - began;
      const code = status === 503 ? (JSON.parse(body.toString()) as { code: number }).code : undefined;
      return { status, code, bytes: body.length, ms };
    }

    /** What is adapted never asks the origin. */
    async function expectRemoval(): Promise<void> {
      const user = newMember(backend);
      const seen = await remove(holdover, { guid: 'main', user });
      expect(seen.status).toBe(201);
      await expectTruth(holdover, backend, user, seen);
    }

    it.sequential.each([
      'down at start',
      'refused',
      'dies mid-request',
      'garbage',
      'wrong shape',
      'TLS not trusted',
    ] as const)('%s', async (fault) => {
      await breakHttp(fault, proxy, { slowMs: SLOW_MS, wrongShape: toHttp('999 Odd', '{}') });
      const { status, code } = await pass();
      expect({ status, code }).toEqual({ status: 503, code: 10015 });
      await expectRemoval();
      await proxy.heal();
      expect(await pass()).toMatchObject({ status: 200, bytes: LONG_BYTES });
      note('origin', fault, runtime);
    });

    it.sequential('frozen: what is adapted goes on', async () => {
      await proxy.break({ kind: 'freeze' });
      const waiting = pass();
      await expectRemoval();
      await proxy.heal();
      // The connection ended without an answer: asked once more.
      expect((await waiting).status).toBe(200);
    });

    it.sequential('resets mid-answer', async () => {
      await proxy.break({ kind: 'cut', afterBytes: 10_000 });
      await expect(pass()).rejects.toThrow(/aborted|ECONNRESET|hang up/);
      await expectRemoval();
      await proxy.heal();
      expect((await pass()).status).toBe(200);
      note('originBroken', 'resets mid-answer', runtime);
    });

    it.sequential('slow', async () => {
      await proxy.break({ kind: 'delay', ms: SLOW_MS });
      expect(await pass()).toMatchObject({ status: 200 });
      await proxy.heal();
      note('originSlow', 'slow', runtime);
    });

    it.sequential('huge answer', async () => {
      expect(await pass()).toMatchObject({ status: 200, bytes: LONG_BYTES });
      note('originSlow', 'huge answer', runtime);
    });
  });
}

/** Its deadline is a minute, which no variable shortens: the same forwarding on Node, with a shorter one. */
export function frozenOriginSuite(): void {
  it('an origin that is frozen is given up on at its deadline', async () => {
    const deadlineMs = 200;
    const proxy = await startFaultProxy({ targetPort: 1 });
    await proxy.break({ kind: 'freeze' });
    const passthrough = await openPassthrough({
      originUrl: `http://127.0.0.1:${proxy.port}`,
      firstByteTimeoutMs: deadlineMs,
    });
    const began = performance.now();
    const { status } = await rawRequest(passthrough.url, { method: 'GET', target: '/v2/spaces' });
    expect(status).toBe(503);
    expect(passthrough.failures).toMatchObject([{ kind: 'unavailable', dependency: FAILURE_MODES.origin.blamed }]);
    expect(performance.now() - began).toBeLessThan(deadlineMs + 3_000);
    await passthrough.close();
    await proxy.close();
    note('origin', 'frozen', 'node');
  });
}
