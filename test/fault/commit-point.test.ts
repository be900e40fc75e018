/**
 * The moment in which the backend takes a member out, and everything that can be cut off around it: its answer, the
 * client's connection, Holdover itself. Against what ships. Any schedule of such faults: test/property/commit-point.test.ts.
 */
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import type { Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type FaultProxy, startFaultProxy } from '../support/fault-proxy.ts';
import type { Holdover, Runtime } from '../support/holdover.ts';
import { loadDirectory } from '../support/load-directory.ts';
import { type MemberBackend, startMemberBackend } from '../support/member-backend.ts';
import { openRawClient } from '../support/raw-origin.ts';
import { type RedisServer, startRedis } from '../support/redis.ts';
import { type ScriptedBackend, type Step, startScriptedBackend, toWire } from '../support/scripted-backend.ts';
import { expectTruth, newMember, remove, start, toBearer, toDirectory } from './rig.ts';

const RUNTIMES: readonly Runtime[] = ['node', 'workerd'];

const REMOVED: Step = { status: 204, headers: { 'x-request-id': 'b' } };
const GONE: Step = {
  status: 404,
  body: { type: 'urn:aerospike:errors:resource:not-found', title: 'T', status: 404, message: 'm' },
};

/** Fewer than failures in a row that open the breaker. */
const AT_ONCE = 4;

describe.each(RUNTIMES)('a backend that removes and then breaks off its answer, on %s', (runtime) => {
  let redis: RedisServer;
  let backend: ScriptedBackend;
  let honest: MemberBackend;
  let holdover: Holdover;
  beforeAll(async () => {
    redis = await startRedis();
    await loadDirectory(redis.url, toDirectory(['main']));
    [backend, honest] = await Promise.all([startScriptedBackend(), startMemberBackend(['main'])]);
    holdover = await start(runtime, honest, { REDIS_URL: redis.url, BACKEND_URL: backend.url });
  });
  afterAll(async () => {
    await holdover?.stop();
    await Promise.all([backend?.close(), honest?.close()]);
    await redis?.stop();
  });

  it('at any byte: the client gets 201, or an error whose repeat gets 201', { timeout: 60_000 }, async () => {
    const cases = Array.from({ length: toWire(REMOVED).length }, (_, afterBytes) => afterBytes).flatMap((afterBytes) =>
      (['cut', 'reset'] as const).map((fault) => ({ fault, afterBytes, user: randomUUID() })),
    );
    const gone = new Set<string>();
    backend.play(({ endpoint, target }) => {
      const found = cases.find(({ user }) => target.endsWith(user));
      if (endpoint === 'members') return { status: 200, body: { count: 0, meta: { total: 0 }, members: [] } };
      if (endpoint !== 'remove' || found === undefined) return undefined;
      if (gone.has(found.user)) return GONE;
      gone.add(found.user);
      return { ...REMOVED, fault: found.fault, afterBytes: found.afterBytes };
    });
    const left = [...cases];
    const ends: string[] = [];
    const work = async () => {
      for (let next = left.shift(); next !== undefined; next = left.shift()) {
        const statuses = [];
        while (statuses.at(-1) !== 201 && statuses.length < 3) {
          statuses.push((await remove(holdover, { guid: 'main', user: next.user })).status);
        }
        ends.push(`${next.fault} after ${next.afterBytes}: ${statuses.join(', then ')}`);
      }
    };
    await Promise.all(Array.from({ length: AT_ONCE }, work));
    expect(ends.filter((end) => !/: (503, then )?201$/.test(end))).toEqual([]);
    // Where the budget for repeats allows it, the client never learns of it.
    expect(ends.filter((end) => end.endsWith(': 201')).length).toBeGreaterThan(ends.length / 2);
    backend.verify();
  });
});

/** Where a client can be when it hangs up: what has been sent, and what Holdover waits for. */
interface Stage {
  readonly name: string;
  /** Part of the request that is sent; all of it unless told. */
  readonly sends?: (request: string) => string;
  /** What is held until the client is gone. */
  readonly holds?: 'Redis' | 'token' | 'removal' | 'answer' | 'members';
  /** The intent has been written by then. */
  readonly isCommitted: boolean;
}

const STAGES: readonly Stage[] = [
  { name: 'before it has sent anything', sends: () => '', isCommitted: false },
  { name: 'inside its head', sends: (request) => request.slice(0, request.length / 2), isCommitted: false },
  { name: 'right behind its request', isCommitted: false },
  { name: 'while Redis is asked', holds: 'Redis', isCommitted: false },
  { name: 'while the access token is fetched', holds: 'token', isCommitted: true },
  { name: 'before the backend has removed', holds: 'removal', isCommitted: true },
  { name: 'after the backend has removed', holds: 'answer', isCommitted: true },
  { name: 'while the member list is read', holds: 'members', isCommitted: true },
];

describe.each(RUNTIMES)('a client that hangs up, on %s', (runtime) => {
  const HOW = ['end', 'reset'] as const;
  const credentials = STAGES.flatMap((_, index) => HOW.map((how) => `c-${index}-${how}`));
  let redis: RedisServer;
  let proxy: FaultProxy;
  let backend: MemberBackend;
  let holdover: Holdover;
  beforeAll(async () => {
    redis = await startRedis();
    await loadDirectory(redis.url, toDirectory(credentials));
    backend = await startMemberBackend(credentials);
    proxy = await startFaultProxy({ targetPort: redis.port });
    const database = new URL(redis.url).pathname;
    holdover = await start(runtime, backend, { REDIS_URL: `redis://${proxy.host}${database}` });
  });
  afterAll(async () => {
    await holdover?.stop();
    await proxy?.close();
    await backend?.close();
    await redis?.stop();
  });

  describe.each(STAGES)('$name', (stage) => {
    const { sends = (request: string) => request, holds, isCommitted } = stage;
    it.each(HOW)('by %s: what was begun is finished, and nothing is said that is not so', async (how) => {
      // A credential that no other case has used: its access token must be fetched.
      const guid = `c-${STAGES.indexOf(stage)}-${how}`;
      const user = holds === 'members' ? randomUUID() : newMember(backend);
      const bearer = await toBearer();
      const request = `DELETE /v2/organizations/${guid}/users/${user} HTTP/1.1\r\nHost: h\r\nAuthorization: ${bearer}\r\n\r\n`;
      const held = hold(backend, holds);
      if (holds === 'Redis') await proxy.break({ kind: 'delay', ms: 100 });
      const before = holdover.lines.length;

      const client = openRawClient(holdover.url, sends(request));
      await once(client.socket, 'connect');
      if (held) await held.reached;
      hangUp(client.socket, how);
      await sleep(30);
      held?.release();
      await sleep(30);
      await proxy.heal();
      backend.play();

      const mine = () => holdover.lines.slice(before).filter((line) => line['user'] === user && 'audit' in line);
      if (isCommitted) {
        await holdover.waitForLine((line) => line['user'] === user && line['audit'] === 'outcome');
        expect(mine().map(({ audit }) => audit)).toEqual(['intent', 'outcome']);
        expect(backend.isMember(user)).toBe(false);
        expect(['removed', 'not_a_member']).toContain(mine()[1]?.['outcome']);
      } else {
        // Whether it was still carried out is open; that the trail tells it is not.
        await sleep(250);
        expect(mine().length % 2).toBe(0);
        expect(backend.isMember(user)).toBe(mine().length === 0);
      }
      const again = await remove(holdover, { guid, user });
      expect(again.status).toBe(201);
      await expectTruth(holdover, backend, user, again);
    });
  });
});

function hangUp(socket: Socket, how: 'end' | 'reset'): void {
  if (how === 'end') socket.end();
  else socket.resetAndDestroy();
}

/** Holds the backend at one point. `reached` resolves when it is there. */
function hold(backend: MemberBackend, at: Stage['holds']) {
  if (at === undefined || at === 'Redis') return undefined;
  const reached = newGate();
  const released = newGate();
  backend.play(async ({ endpoint }, act) => {
    const isHere = endpoint === (at === 'removal' || at === 'answer' ? 'remove' : at);
    if (!isHere) return act();
    const reply = at === 'removal' ? undefined : act();
    reached.open();
    await released.opened;
    return reply ?? act();
  });
  return { reached: reached.opened, release: released.open };
}

function newGate() {
  let open: () => void = () => undefined;
  const opened = new Promise<void>((resolve) => {
    open = resolve;
  });
  return { open, opened };
}

describe('Holdover that is killed in the middle of a removal', () => {
  it.each(['removal', 'answer'] as const)(
    'at the %s: the trail shows an intent without an outcome, and the repeat is answered rightly',
    async (at) => {
      const redis = await startRedis();
      await loadDirectory(redis.url, toDirectory(['main']));
      const backend = await startMemberBackend(['main']);
      const env = { REDIS_URL: redis.url, PORT: `${21_000 + Math.floor(Math.random() * 1_000)}` };
      const first = await start('node', backend, env);
      const user = newMember(backend);
      const held = hold(backend, at);
      const asked = remove(first, { guid: 'main', user }).then(
        () => 'answered',
        () => 'no answer',
      );
      await held?.reached;
      process.kill(first.pid ?? 0, 'SIGKILL');
      expect(await asked).toBe('no answer');
      await first.stop();
      held?.release();
      backend.play();
      const audit = first.lines.filter((line) => 'audit' in line);
      expect(audit).toMatchObject([{ audit: 'intent', organization: 'main', user }]);

      // The same address: a client that only repeats.
      const second = await start('node', backend, env);
      const seen = await remove(second, { guid: 'main', user });
      expect(seen.status).toBe(201);
      await expectTruth(second, backend, user, seen);
      expect(await second.stop()).toBe(0);
      await backend.close();
      await redis.stop();
    },
  );
});
