/** The backend breaks: the rows backend… and credential of `failure-modes.ts`. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { FaultProxy } from '../../support/fault-proxy.ts';
import type { Holdover, Runtime } from '../../support/holdover.ts';
import { loadDirectory } from '../../support/load-directory.ts';
import { type MemberBackend, type MemberReply, startMemberBackend } from '../../support/member-backend.ts';
import { type RedisServer, startRedis } from '../../support/redis.ts';
import type { FailureModeName, Fault } from '../failure-modes.ts';
import {
  answerHttp,
  BACKEND_TIMEOUT_MS,
  expectMode,
  expectTruth,
  HUGE_HTTP,
  NO_HTTP,
  newMember,
  note,
  remove,
  start,
  startTlsProxy,
  toDirectory,
  toHttp,
  untilWell,
} from '../rig.ts';

/** Far enough into `HTTP/1.1 204 No Content` that an answer has begun. */
const IN_THE_HEAD = 12;

export function backendSuite(runtime: Runtime): void {
  describe.concurrent(`the backend, on ${runtime}`, () => {
    let redis: RedisServer;
    let proxy: FaultProxy;
    let backend: MemberBackend;
    let holdover: Holdover;
    beforeAll(async () => {
      redis = await startRedis();
      await loadDirectory(redis.url, toDirectory(['main']));
      backend = await startMemberBackend(['main']);
      proxy = await startTlsProxy(backend.port);
      await proxy.break({ kind: 'refuse' });
      holdover = await start(runtime, backend, {
        REDIS_URL: redis.url,
        BACKEND_URL: `https://${proxy.host}/v1`,
        ORGANIZATION_CACHE_SECONDS: '1',
      });
    });
    afterAll(async () => {
      await holdover?.stop();
      await proxy?.close();
      await backend?.close();
      await redis?.stop();
    });

    const ask = (user: string) => remove(holdover, { guid: 'main', user });
    const heal = async () => {
      backend.play();
      await proxy.heal();
    };
    /** One removal while it is broken, and the same again when it is not. */
    async function run(name: FailureModeName, fault: Fault): Promise<{ wasGone: boolean }> {
      const user = newMember(backend);
      const seen = await ask(user);
      await expectMode(holdover, name, seen);
      await expectTruth(holdover, backend, user, seen);
      const wasGone = !backend.isMember(user);
      await heal();
      const well = await untilWell(name, () => ask(user));
      await expectTruth(holdover, backend, user, well);
      note(name, fault, runtime);
      return { wasGone };
    }

    it.sequential.each(['down at start', 'refused', 'TLS not trusted'] as const)('%s', async (fault) => {
      if (fault === 'refused') await proxy.break({ kind: 'refuse' });
      if (fault === 'TLS not trusted') await proxy.break({ kind: 'distrust' });
      const { wasGone } = await run('backendUnreached', fault);
      expect(wasGone).toBe(false);
    });

    it.sequential.each([
      ['dies mid-request', 0],
      ['resets mid-answer', IN_THE_HEAD],
    ] as const)('%s, once', async (fault, afterBytes) => {
      await proxy.break({ kind: 'cut', afterBytes, times: 1 });
      const { wasGone } = await run('backendLostOnce', fault);
      expect(wasGone).toBe(true);
    });

    it.sequential.each(['dies mid-request', 'resets mid-answer'] as const)(
      '%s, every time: nobody is told that it worked, and a repeat tells the truth',
      async (fault) => {
        await proxy.break({ kind: 'cut', afterBytes: fault === 'dies mid-request' ? 0 : IN_THE_HEAD });
        const { wasGone } = await run('backendUnclear', fault);
        expect(wasGone).toBe(true);
      },
    );

    it.sequential.each([502, 503, 504])('a gateway that answers %i although the backend has acted', async (status) => {
      let isFirst = true;
      backend.play((_call, act) => {
        const reply = act();
        if (!isFirst) return reply;
        isFirst = false;
        return { status, body: '<html>' };
      });
      await run('backendLostOnce', 'answers 502, 503 or 504');
    });

    it.sequential('frozen', async () => {
      await proxy.break({ kind: 'freeze' });
      const { wasGone } = await run('backendUnclear', 'frozen');
      expect(wasGone).toBe(false);
    });

    it.sequential('slow', async () => {
      await proxy.break({ kind: 'delay', ms: 2 * BACKEND_TIMEOUT_MS });
      const { wasGone } = await run('backendUnclear', 'slow');
      expect(wasGone).toBe(true);
    });

    it.sequential.each<[Fault, string]>([
      ['garbage', NO_HTTP],
      ['huge answer', HUGE_HTTP],
      ['wrong shape', toHttp('200 OK', '["gone"]')],
      ['wrong shape', toHttp('404 Not Found', '<html>')],
      ['wrong shape', toHttp('302 Found', '')],
      ['answers 500', toHttp('500 Internal Server Error', '{"message":"m"}')],
    ])('%s', async (fault, bytes) => {
      await proxy.break(answerHttp(bytes));
      const { wasGone } = await run('backendUnclear', fault);
      expect(wasGone).toBe(false);
    });

    /** Removals are answered so, and nothing is done. */
    const refuse = (reply: MemberReply) => backend.play(({ endpoint }, act) => (endpoint === 'remove' ? reply : act()));

    it.sequential('answers 429', async () => {
      refuse({ status: 429, headers: { 'Retry-After': '7' }, body: { message: 'm' } });
      const user = newMember(backend);
      const seen = await ask(user);
      await expectMode(holdover, 'backendLimits', seen);
      expect(seen.headers.get('retry-after')).toBe('7');
      expect(backend.isMember(user)).toBe(true);
      await heal();
      await untilWell('backendLimits', () => ask(user));
      note('backendLimits', 'answers 429', runtime);
    });

    it.sequential('answers 401', async () => {
      refuse({ status: 401, body: { message: 'm', code: 'invalid_token' } });
      const { wasGone } = await run('credential', 'answers 401');
      expect(wasGone).toBe(false);
    });

    it.sequential('of another organization', async () => {
      const elsewhere = { backend: { organization_id: 'org-elsewhere', credential: 'main' } };
      await loadDirectory(redis.url, toDirectory(['main'], 0, elsewhere));
      const user = newMember(backend);
      // The right organization is still cached.
      await untilUnwell(async () => ask(newMember(backend)));
      const seen = await ask(user);
      await expectMode(holdover, 'credential', seen);
      expect(backend.triesFor(user)).toBe(0);
      await expectTruth(holdover, backend, user, seen);
      await loadDirectory(redis.url, toDirectory(['main']));
      await untilWell('credential', () => ask(user));
      note('credential', 'of another organization', runtime);
    });
  });
}

async function untilUnwell(ask: () => Promise<{ readonly status: number }>): Promise<void> {
  while ((await ask()).status === 201);
}
