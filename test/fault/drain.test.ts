/** The end of a replica, and the quota that replicas share: what ships on Node, under SIGTERM. */
import { spawn } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { cpSync, mkdtempSync, rmSync, symlinkSync } from 'node:fs';
import { Agent, request } from 'node:http';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import type { Holdover } from '../support/holdover.ts';
import { loadDirectory } from '../support/load-directory.ts';
import { type MemberBackend, startMemberBackend } from '../support/member-backend.ts';
import { openRawClient } from '../support/raw-origin.ts';
import { type RedisServer, startRedis } from '../support/redis.ts';
import { expectTruth, newMember, remove, start, toBearer, toDirectory, toEnvironment } from './rig.ts';

const SHUTDOWN_TIMEOUT_MS = 600;
/** Later than this no promised deadline is kept. */
const MARGIN_MS = 3_000;

let redis: RedisServer;
let backend: MemberBackend;
beforeAll(async () => {
  redis = await startRedis();
  await loadDirectory(redis.url, toDirectory(['main']));
  backend = await startMemberBackend(['main']);
});
afterAll(async () => {
  await backend.close();
  await redis.stop();
});
afterEach(() => backend.play());

/** Holds every removal until `release`; `reached` counts those that wait. */
function holdRemovals() {
  const waiting: (() => void)[] = [];
  backend.play(({ endpoint }, act) => {
    if (endpoint !== 'remove') return act();
    return new Promise((resolve) => {
      waiting.push(() => resolve(act()));
    });
  });
  return {
    async reached(count: number): Promise<void> {
      while (waiting.length < count) await sleep(2);
    },
    release() {
      backend.play();
      for (const answer of waiting.splice(0)) answer();
    },
  };
}

const startReplica = (env: Readonly<Record<string, string>> = {}) =>
  start('node', backend, { REDIS_URL: redis.url, BACKEND_TIMEOUT_MS: '5000', ...env });

interface Kept {
  readonly status: number;
  readonly connection: string | undefined;
}

/** One removal over a connection that is kept. */
async function removeKept(agent: Agent, holdover: Holdover, user: string): Promise<Kept> {
  const { hostname, port } = new URL(holdover.url);
  const headers = { Authorization: await toBearer() };
  const path = `/v2/organizations/main/users/${user}`;
  return new Promise((resolve, reject) => {
    const outgoing = request({ agent, hostname, port, method: 'DELETE', path, headers }, (incoming) => {
      incoming.resume().on('end', () => {
        resolve({ status: incoming.statusCode ?? 0, connection: incoming.headers.connection });
      });
    });
    outgoing.on('error', reject).end();
  });
}

describe('after SIGTERM', () => {
  it('what is in flight is answered, idle connections are ended, nothing new is taken, and the exit code is 0', async () => {
    const holdover = await startReplica({ SHUTDOWN_TIMEOUT_MS: '10000' });
    const agent = new Agent({ keepAlive: true });
    await removeKept(agent, holdover, newMember(backend));
    const idle = openRawClient(holdover.url, 'GET /nothing HTTP/1.1\r\nHost: h\r\n\r\n');
    await idle.sees('10000');

    const held = holdRemovals();
    const users = [newMember(backend), newMember(backend), newMember(backend)];
    const answers = users.map((user) => removeKept(agent, holdover, user));
    await held.reached(users.length);
    const stopped = holdover.stop();
    expect(await idle.ended).toBe('end');
    const ready = await fetch(`${holdover.adminUrl}/readyz`);
    expect({ status: ready.status, body: await ready.json() }).toMatchObject({
      status: 503,
      body: { status: 'draining' },
    });
    await expect(remove(holdover, { guid: 'main', user: users[0] ?? '' })).rejects.toThrow(/ECONNREFUSED/);

    held.release();
    expect(await Promise.all(answers)).toEqual(users.map(() => ({ status: 201, connection: 'close' })));
    expect(await stopped).toBe(0);
    expect(holdover.lines.at(-1)).toMatchObject({ message: 'drained', end: 'drained' });
    for (const user of users) expect(backend.isMember(user)).toBe(false);
    agent.destroy();
  });

  it('a removal whose client has hung up is finished, and its outcome written', async () => {
    const holdover = await startReplica({ SHUTDOWN_TIMEOUT_MS: '10000' });
    const held = holdRemovals();
    const user = newMember(backend);
    const head = `DELETE /v2/organizations/main/users/${user} HTTP/1.1\r\nHost: h\r\nAuthorization: ${await toBearer()}\r\n\r\n`;
    const client = openRawClient(holdover.url, head);
    await held.reached(1);
    client.socket.resetAndDestroy();
    await client.ended;
    const stopped = holdover.stop();
    await sleep(200);
    held.release();
    expect(await stopped).toBe(0);
    const audit = holdover.lines.filter((line) => line['user'] === user && 'audit' in line);
    expect(audit).toMatchObject([{ audit: 'intent' }, { audit: 'outcome', outcome: 'removed' }]);
    expect(backend.isMember(user)).toBe(false);
  });

  it('what is stalled is cut off after SHUTDOWN_TIMEOUT_MS: the intent stands alone, and the exit code is 0', async () => {
    const holdover = await startReplica({ SHUTDOWN_TIMEOUT_MS: `${SHUTDOWN_TIMEOUT_MS}` });
    const held = holdRemovals();
    const user = newMember(backend);
    const asked = remove(holdover, { guid: 'main', user }).then(
      ({ status }) => status,
      () => 'no answer',
    );
    await held.reached(1);
    const began = performance.now();
    expect(await holdover.stop()).toBe(0);
    expect(performance.now() - began).toBeLessThan(SHUTDOWN_TIMEOUT_MS + MARGIN_MS);
    expect(await asked).toBe('no answer');
    expect(holdover.lines.at(-1)).toMatchObject({ message: 'drained', end: 'cut' });
    const audit = holdover.lines.filter((line) => line['user'] === user && 'audit' in line);
    expect(audit).toMatchObject([{ audit: 'intent' }]);
    held.release();
  });

  it('a second one, and a SIGINT, change nothing', async () => {
    const holdover = await startReplica({ SHUTDOWN_TIMEOUT_MS: '10000' });
    const held = holdRemovals();
    const user = newMember(backend);
    const asked = remove(holdover, { guid: 'main', user });
    await held.reached(1);
    const stopped = holdover.stop();
    for (const signal of ['SIGTERM', 'SIGINT', 'SIGTERM'] as const) {
      await sleep(50);
      process.kill(holdover.pid ?? 0, signal);
    }
    await sleep(50);
    held.release();
    const seen = await asked;
    expect(seen.status).toBe(201);
    await expectTruth(holdover, backend, user, seen);
    expect(await stopped).toBe(0);
    expect(holdover.lines.filter((line) => line['message'] === 'drained').length).toBe(1);
  });

  it('to `npm start` it reaches Holdover, which drains', { timeout: 60_000 }, async () => {
    // A copy, since `npm start` builds: other tests are starting what it would overwrite.
    const folder = mkdtempSync(join(tmpdir(), 'holdover-npm-start-'));
    for (const name of ['src', 'package.json', 'tsconfig.json']) cpSync(name, join(folder, name), { recursive: true });
    symlinkSync(resolve('node_modules'), join(folder, 'node_modules'));
    const env = toEnvironment(backend, { REDIS_URL: redis.url, BACKEND_TIMEOUT_MS: '5000' });
    const npm = spawn('npm', ['start'], {
      cwd: folder,
      env: { ...process.env, HOST: '127.0.0.1', PORT: '0', ADMIN_PORT: '0', ...env },
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    const exited = once(npm, 'exit');
    const lines: string[] = [];
    const output = createInterface({ input: npm.stdout });
    output.on('line', (line) => lines.push(line));
    while (!lines.some((line) => line.includes('"listening"'))) await Promise.race([once(output, 'line'), exited]);
    const { url } = JSON.parse(lines.find((line) => line.includes('"listening"')) ?? '');

    const held = holdRemovals();
    const user = newMember(backend);
    const asked = remove({ url }, { guid: 'main', user });
    await held.reached(1);
    npm.kill('SIGTERM');
    await sleep(300);
    held.release();
    expect((await asked).status).toBe(201);
    expect(await exited).toEqual([0, null]);
    expect(lines.at(-1)).toContain('"drained"');
    rmSync(folder, { recursive: true, force: true });
  });
});

it('two replicas share one quota exactly, and a third that takes the place of one of them', {
  timeout: 60_000,
}, async () => {
  const LIMIT = 30;
  const env = { RATE_LIMIT: `${LIMIT}/1h`, REDIS_TIMEOUT_MS: '2000' };
  const [one, two] = await Promise.all([startReplica(env), startReplica(env)]);
  const caller = randomUUID();
  const ask = async (replica: Holdover, times: number) => {
    const asked = Array.from({ length: times }, () => remove(replica, { guid: 'main', user: randomUUID(), caller }));
    const statuses = (await Promise.all(asked)).map(({ status }) => status);
    return statuses.filter((status) => status === 201).length;
  };
  const first = await Promise.all([ask(one, 10), ask(two, 10)]);
  expect(first).toEqual([10, 10]);
  expect(await one.stop()).toBe(0);
  const three = await startReplica(env);
  const rest = await Promise.all([ask(two, 15), ask(three, 15)]);
  expect(rest.reduce((sum, count) => sum + count, 0)).toBe(LIMIT - 20);
  await Promise.all([two.stop(), three.stop()]);
});
