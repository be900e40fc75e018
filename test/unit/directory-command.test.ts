/** `npm run directory`, as the process that an operator starts. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { build } from 'esbuild';
import type { Redis } from 'ioredis';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { runDirectoryCommand } from '../../src/directory/command.ts';
import { createRedisDirectory, MARKER_KEY } from '../../src/redis/directory.ts';
import type { Scope } from '../../src/scope.ts';
import { canOwnRedis, type RedisServer, startRedis } from '../support/redis.ts';
import { BACKEND_USER, OTHER_BACKEND_USER, sampleDirectory, sampleRecord } from '../support/sample-directory.ts';

const isOwnPossible = await canOwnRedis();

/** Inside the project, where the bundle finds its packages. */
const BUNDLE = `dist/test-directory-command-${process.pid}.mjs`;

let folder: string;
let path: string;
let server: RedisServer;
let client: Redis;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'holdover-command-'));
  path = join(folder, 'directory.json');
  server = await startRedis();
  client = server.client();
  await build({
    entryPoints: ['src/directory-command.ts'],
    bundle: true,
    platform: 'node',
    format: 'esm',
    packages: 'external',
    outfile: BUNDLE,
    logLevel: 'warning',
  });
});

afterAll(async () => {
  await server.stop();
  await rm(folder, { recursive: true });
  await rm(BUNDLE);
});

beforeEach(() => client.flushdb());

interface Run {
  readonly code: number | null;
  readonly out: string;
  readonly err: string;
}

const start = (words: readonly string[], env: Readonly<Record<string, string>>): ChildProcess =>
  spawn(process.execPath, [BUNDLE, ...words], { env: { PATH: process.env['PATH'], ...env } });

const finish = async (child: ChildProcess): Promise<Run> => {
  let out = '';
  let err = '';
  child.stdout?.on('data', (chunk: Buffer) => {
    out += chunk.toString();
  });
  child.stderr?.on('data', (chunk: Buffer) => {
    err += chunk.toString();
  });
  const [code] = (await once(child, 'close')) as [number | null];
  return { code, out, err };
};

const run = (words: readonly string[], env: Readonly<Record<string, string>> = {}) => finish(start(words, env));

const write = (changes: Readonly<Record<string, unknown>>) => writeFile(path, sampleDirectory(changes));

const describeDirectory = () => {
  const scope: Scope = { waitUntil() {}, redis: () => client, followerWaitMs: Infinity };
  return createRedisDirectory().describe(scope);
};

describe('npm run directory', () => {
  it.each([
    [[]],
    [['check']],
    [['load']],
    [['chekc', 'x']],
    [['check', 'x', 'y']],
    [['load', 'x', '--live']],
    [['check', '--lvie']],
  ])('explains itself where it is told %j, and ends with 2', async (words) => {
    const said: string[] = [];
    const unused = () => {
      throw new Error('nothing is to be opened');
    };
    const world = { print: unused, complain: (line: string) => said.push(line), epochMs: unused };
    expect(await runDirectoryCommand(words, { ...world, openRedis: unused, openBackend: unused })).toBe(2);
    expect(said.join()).toMatch(/^usage: npm run directory -- check FILE/);
  });

  it('ends with 2 where there is no such file', async () => {
    const missing = join(folder, 'missing.json');
    expect(await run(['check', missing])).toEqual({ code: 2, out: '', err: `${missing}: there is no such file\n` });
  });
});

describe('check', () => {
  it('says that a directory is valid', async () => {
    await write({ organizations: [sampleRecord()], users: { a: BACKEND_USER }, unmapped_users: 'same' });
    expect(await run(['check', path])).toEqual({
      code: 0,
      out: `${path}: valid: 1 organizations, 1 users, unmapped users: same\n`,
      err: '',
    });
  });

  it('lists every mistake, one a line, and ends with 1', async () => {
    await write({ organizations: [sampleRecord({ status: 'x', name: '' })], users: { a: 'b' } });
    const { code, out, err } = await run(['check', path]);
    expect({ code, out }).toEqual({ code: 1, out: '' });
    expect(err.trimEnd().split('\n')).toHaveLength(3);
    for (const line of err.trimEnd().split('\n')) expect(line.startsWith(`${path}: `)).toBe(true);
  });
});

describe('load', () => {
  it('puts the directory in force and says what changed', async () => {
    const [kept, gone] = [sampleRecord({ guid: 'kept' }), sampleRecord({ guid: 'gone' })];
    await write({ organizations: [kept, gone], users: { a: BACKEND_USER } });
    const first = await run(['load', path], { REDIS_URL: server.url });
    expect(first).toMatchObject({ code: 0, err: '' });
    expect(first.out).toContain(
      'there was no directory before\norganizations: 2; 2 added, 0 removed, 0 changed\n  + kept\n  + gone\n',
    );
    await write({
      organizations: [{ ...kept, name: 'renamed' }, sampleRecord({ guid: 'new' })],
      users: { a: OTHER_BACKEND_USER },
      unmapped_users: 'same',
    });
    const second = await run(['load', path], { REDIS_URL: server.url });
    expect(second.out.split('\n').slice(1, -2)).toEqual([
      'organizations: 2; 1 added, 1 removed, 1 changed',
      '  + new',
      '  - gone',
      '  ~ kept',
      'users: 1; 0 added, 0 removed, 1 changed',
      '  ~ a',
      'unmapped users: same (was: refuse)',
    ]);
    expect(await describeDirectory()).toMatchObject({ organizations: 2, users: 1 });
  });

  it('changes nothing where the file has a mistake', async () => {
    await write({ organizations: [sampleRecord({ guid: 'g' })] });
    await run(['load', path], { REDIS_URL: server.url });
    const before = await client.get(MARKER_KEY);
    await write({ organizations: [sampleRecord({ guid: 'h', name: '' })] });
    expect((await run(['load', path], { REDIS_URL: server.url })).code).toBe(1);
    expect(await client.get(MARKER_KEY)).toBe(before);
  });

  it('says which variable is missing, and what is wrong with it', async () => {
    await write({});
    for (const [env, found] of [
      [{}, 'not set'],
      [{ REDIS_URL: '' }, 'not set'],
      [{ REDIS_URL: 'http://user:hunter2@localhost' }, 'found "http://localhost" with userinfo'],
    ] as const) {
      const { code, err } = await run(['load', path], env);
      expect(code).toBe(2);
      expect(err).toMatch(`REDIS_URL: ${found}; accepted: redis://`);
    }
  });

  it('says where Redis cannot be reached, without its password', async () => {
    await write({});
    const { code, err } = await run(['load', path], { REDIS_URL: 'redis://user:hunter2@127.0.0.1:1' });
    expect(code).toBe(2);
    expect(err).toBe('Redis at 127.0.0.1:1 cannot be used: connect ECONNREFUSED 127.0.0.1:1\n');
  });

  it.skipIf(!isOwnPossible)('speaks to a Redis with a password, and says where it is wrong', async () => {
    const own = await startRedis({ args: ['--requirepass', 'right'] });
    try {
      await write({});
      expect(await run(['load', path], { REDIS_URL: own.url })).toMatchObject({ code: 0, err: '' });
      const { code, err } = await run(['load', path], { REDIS_URL: `redis://:hunter2@127.0.0.1:${own.port}` });
      expect(code).toBe(2);
      expect(err).toMatch(/WRONGPASS|NOAUTH/);
      expect(err).not.toContain('hunter2');
    } finally {
      await own.stop();
    }
  });

  it.skipIf(!isOwnPossible)('leaves the directory before it in force when it is killed halfway', async () => {
    const own = await startRedis({ own: true });
    try {
      const redis = own.client();
      await write({ organizations: [sampleRecord({ guid: 'g' })] });
      await run(['load', path], { REDIS_URL: own.url });
      const before = await redis.get(MARKER_KEY);
      const managers = Array.from({ length: 20 }, (_, index) => `manager-${index}`);
      await write({ organizations: Array.from({ length: 20_000 }, () => sampleRecord({ managers })) });
      const loading = start(['load', path], { REDIS_URL: own.url });
      const isWriting = async () => (await redis.keys('holdover:directory:*:organizations')).length === 2;
      while (!(await isWriting())) expect(loading.exitCode).toBeNull();
      await redis.call('CLIENT', 'PAUSE', 60_000, 'WRITE');
      loading.kill('SIGKILL');
      await once(loading, 'close');
      await redis.call('CLIENT', 'UNPAUSE');
      expect(await redis.get(MARKER_KEY)).toBe(before);
      const { version } = JSON.parse(before ?? '') as { version: string };
      const keys = await redis.keys('holdover:directory:*');
      const left = keys.find((key) => key !== MARKER_KEY && !key.includes(version));
      expect(await redis.pttl(left ?? '')).toBeGreaterThan(0);
    } finally {
      await own.stop();
    }
  });
});

describe('check --live', () => {
  let backend: Server;
  let env: Record<string, string>;

  beforeAll(async () => {
    backend = createServer((request, response) => {
      const token = request.headers.authorization?.replace('Bearer token-of-', '');
      response.setHeader('Content-Type', 'application/json');
      if (request.url === '/v1/organization' && token !== 'unknown')
        response.end(JSON.stringify({ id: `org-of-${token}` }));
      else response.writeHead(401).end('{"message":"hunter2"}');
    }).listen(0, '127.0.0.1');
    await once(backend, 'listening');
    const credentials = Object.fromEntries(['a', 'b', 'unknown'].map((name) => [name, { token: `token-of-${name}` }]));
    env = {
      BACKEND_URL: `http://127.0.0.1:${(backend.address() as AddressInfo).port}/v1`,
      BACKEND_CREDENTIALS: JSON.stringify(credentials),
    };
  });

  afterAll(() => void backend.close());

  const recordOf = (guid: string, credential: string, organization_id = `org-of-${credential}`) =>
    sampleRecord({ guid, backend: { organization_id, credential } });

  it('asks the backend whose organization each credential is', async () => {
    await write({ organizations: [recordOf('g', 'a'), recordOf('h', 'b')] });
    const { code, out, err } = await run(['check', path, '--live'], env);
    expect({ code, err }).toEqual({ code: 0, err: '' });
    expect(out).toMatch('backend: 2 credentials belong to the organizations they stand for');
  });

  it('names each credential that is another organization, is refused, or is not there, and ends with 1', async () => {
    await write({ organizations: [recordOf('g', 'a', 'org-of-c'), recordOf('h', 'unknown'), recordOf('i', 'none')] });
    const { code, err } = await run(['check', path, '--live'], env);
    expect(code).toBe(1);
    expect(err.trimEnd().split('\n').sort()).toEqual([
      'credential "a" (organization "g"): belongs to organization "org-of-a"; accepted: "org-of-c", as the directory says',
      expect.stringMatching(/^credential "none" \(organization "i"\): cannot be asked: .*no credential named "none"/),
      expect.stringMatching(/^credential "unknown" \(organization "h"\): cannot be asked: /),
    ]);
    expect(err).not.toContain('token-of-');
    expect(err).not.toContain('hunter2');
  });

  it('lists what it lacks to ask, and ends with 2', async () => {
    await write({ organizations: [recordOf('g', 'a')] });
    const { code, err } = await run(['check', path, '--live']);
    expect(code).toBe(2);
    expect(err).toMatch(/^BACKEND_URL: not set/m);
    expect(err).toMatch(/^BACKEND_CREDENTIALS: not set/m);
  });
});
