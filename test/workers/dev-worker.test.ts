/** `npm run dev:worker` as a newcomer runs it: without variables, network or account. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { createServer } from 'node:net';
import { delimiter, dirname } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { build } from 'esbuild';
import { afterEach, describe, expect, it } from 'vitest';
import { PAGE_BODY, PAGE_PATH } from '../../src/sandbox/page.ts';
import { loadDirectory } from '../support/load-directory.ts';
import { canOwnRedis, startRedis } from '../support/redis.ts';
import { redisBinary } from '../support/redis-binary.ts';
import { sampleDirectory } from '../support/sample-directory.ts';

/** Wrangler bundles, starts workerd and waits for it. */
const READY_MS = 60_000;

let child: ChildProcess;
let output = '';

afterEach(async () => {
  if (isAnyAlive()) process.kill(-Number(child.pid), 'SIGKILL');
});

/** A process group of its own, as a shell makes one. */
async function start(changes: NodeJS.ProcessEnv = {}): Promise<void> {
  const { outputFiles } = await build({
    entryPoints: ['src/dev-worker.ts'],
    bundle: true,
    platform: 'node',
    target: 'node20',
    format: 'esm',
    packages: 'external',
    write: false,
  });
  const redis = await redisBinary();
  const path = [dirname(redis.path), process.env['PATH']].join(delimiter);
  const { REDIS_URL: _, ...env } = process.env;
  child = spawn(process.execPath, ['--input-type=module', '-'], {
    env: { ...env, ...redis.env, PATH: path, ...changes },
    stdio: ['pipe', 'pipe', 'pipe'],
    detached: true,
  });
  output = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream?.setEncoding('utf8').on('data', (text: string) => {
      output += text;
    });
  }
  child.stdin?.end(outputFiles[0]?.text);
}

function isAnyAlive(): boolean {
  try {
    return process.kill(-Number(child.pid), 0);
  } catch {
    return false;
  }
}

async function until(isSo: () => boolean, withinMs: number): Promise<void> {
  const deadline = performance.now() + withinMs;
  while (!isSo() && performance.now() < deadline) await sleep(50);
  expect(isSo(), output).toBe(true);
}

async function untilStopped(): Promise<unknown> {
  if (child.exitCode === null && child.signalCode === null) await once(child, 'exit');
  return child.exitCode;
}

async function listenSomewhere() {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  return { server, port: typeof address === 'object' && address !== null ? `${address.port}` : '' };
}

async function findFreePort(): Promise<string> {
  const { server, port } = await listenSomewhere();
  server.close();
  await once(server, 'close');
  return port;
}

// With a .dev.vars the developer's own Worker would be started.
describe.skipIf(existsSync('.dev.vars') || !(await canOwnRedis()))(
  'npm run dev:worker',
  { timeout: 2 * READY_MS },
  () => {
    it.each([
      ['Ctrl-C', (pid: number) => process.kill(-pid, 'SIGINT')],
      ['SIGTERM', (pid: number) => process.kill(pid, 'SIGTERM')],
    ])('performs the removal it prints, and leaves nothing behind after %s', async (_, end) => {
      const port = await findFreePort();
      await start({ PORT: port });
      await until(() => /Ready on/.test(output), READY_MS);
      const [, authorization = '', url = ''] = /^curl .* -H "Authorization: (.+)" (http\S+)$/m.exec(output) ?? [];
      expect(url).toBe(`http://127.0.0.1:${port}${PAGE_PATH}`);
      const answer = await fetch(url, { method: 'DELETE', headers: { Authorization: authorization } });
      expect([answer.status, await answer.text()]).toEqual([201, PAGE_BODY]);
      end(Number(child.pid));
      await untilStopped();
      await until(() => !isAnyAlive(), 10_000);
    });

    it('says that its port is in use', async () => {
      const { server, port } = await listenSomewhere();
      await start({ PORT: port });
      expect(await untilStopped()).toBe(1);
      expect(output).toContain(`holdover: port ${port} of 127.0.0.1 is in use. Set PORT to another.\n`);
      server.close();
    });

    it('says that there is no redis-server', async () => {
      await start({ PORT: await findFreePort(), PATH: '/nowhere' });
      expect(await untilStopped()).toBe(1);
      expect(output).toMatch(/^holdover: no redis-server could be started.*REDIS_URL\.\n$/);
    });

    it('does not replace a directory that is not its own', async () => {
      const redis = await startRedis({ own: true });
      await loadDirectory(redis.url, sampleDirectory());
      const before = await redis.client().get('holdover:directory:{1}:marker');
      await start({ PORT: await findFreePort(), REDIS_URL: redis.url });
      expect(await untilStopped()).toBe(1);
      expect(output).toMatch(/^holdover: the Redis of REDIS_URL holds a directory/);
      expect(await redis.client().get('holdover:directory:{1}:marker')).toBe(before);
      await redis.stop();
    });
  },
);
