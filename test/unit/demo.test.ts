/** The demo as a newcomer runs it: a process of its own, its curl lines pasted into a shell. */
import { type ChildProcessByStdio, execFile, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Readable, Writable } from 'node:stream';
import { promisify } from 'node:util';
import { build, type Plugin } from 'esbuild';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { parseDirectory } from '../../src/directory/contents.ts';
import { findDifferences, PAGE_BODY, PAGE_GUID, PAGE_PATH, PAGE_STATUS } from '../../src/sandbox/page.ts';
import { createWorld } from '../../src/sandbox/world.ts';
import { startOnNode } from '../support/holdover.ts';

const PAGE = readFileSync(new URL('../contract/legacy-page.txt', import.meta.url), 'utf8');

interface DemoProcess {
  readonly child: ChildProcessByStdio<Writable, Readable, null>;
  /** Standard output so far. */
  readonly output: () => string;
  readonly exitCode: Promise<number | null>;
}

const started: DemoProcess[] = [];
const folder = mkdtempSync(join(tmpdir(), 'holdover-demo-test-'));

/** The demo's own bundle, run from standard input: nothing is written where a build may be running. */
async function startDemo(options: readonly string[], plugins: Plugin[] = []): Promise<DemoProcess> {
  const { outputFiles } = await build({
    entryPoints: ['src/demo.ts'],
    bundle: true,
    platform: 'node',
    target: 'node20',
    format: 'esm',
    packages: 'external',
    write: false,
    plugins,
  });
  const child = spawn(process.execPath, ['--input-type=module', '-', ...options], {
    stdio: ['pipe', 'pipe', 'inherit'],
    env: { PATH: process.env['PATH'], TMPDIR: folder },
  });
  child.stdin.end(outputFiles[0]?.text);
  let output = '';
  child.stdout.setEncoding('utf8').on('data', (text) => {
    output += text;
  });
  const exitCode = once(child, 'close').then(([code]) => code as number | null);
  const demo = { child, output: () => output, exitCode };
  started.push(demo);
  return demo;
}

afterAll(async () => {
  for (const { child } of started) if (child.exitCode === null) child.kill('SIGKILL');
  await Promise.all(started.map(({ exitCode }) => exitCode));
  rmSync(folder, { recursive: true });
});

describe('what the demo expects', () => {
  it('is what the page says', () => {
    expect(PAGE.endsWith(`\nBody\n\n${PAGE_BODY}`)).toBe(true);
    expect(PAGE).toContain(`\nStatus\n\n${PAGE_STATUS}\n`);
    expect(PAGE).toContain(`\nRoute\n\nDELETE ${PAGE_PATH}\n`);
    expect(PAGE_PATH).toContain(`/${PAGE_GUID}/`);
  });

  const right = {
    status: '201 Created',
    headers: [
      ['content-type', 'application/json;charset=utf-8'],
      ['X-VCAP-Request-ID', '1116c63a-e216-4e4d-8dec-e8967d42907f'],
      ['Content-Length', '1304'],
      ['X-Content-Type-Options', 'nosniff'],
      ['Date', 'Mon, 01 Dec 2014 19:32:37 GMT'],
    ],
    body: PAGE_BODY,
  } as const;

  it('finds nothing wrong with the page’s own answer', () => {
    expect(findDifferences(right)).toEqual([]);
  });

  it.each([
    ['another status', { status: '200 OK' }, 'status: 200 OK instead of 201 Created'],
    ['a header that is missing', { headers: right.headers.slice(1) }, 'Content-Type: "" instead of '],
    [
      'a header twice',
      { headers: [...right.headers, ['content-length', '1304'] as const] },
      'Content-Length: "1304, 1304"',
    ],
    [
      'another byte',
      { body: PAGE_BODY.replace('name-505', 'name-506') },
      'body, line 9: "    \\"name\\": \\"name-506\\"',
    ],
    ['a byte more', { body: `${PAGE_BODY}\n` }, 'body, line 25: "" instead of nothing'],
    ['a line less', { body: PAGE_BODY.slice(0, -2) }, 'body, line 24: nothing instead of "}"'],
    ['no body', { body: '' }, 'body, line 1: "" instead of "{"'],
  ])('names %s', (_, change, said) => {
    expect(findDifferences({ ...right, ...change })).toEqual([expect.stringContaining(said)]);
  });

  it('is asked of a directory that Holdover accepts', () => {
    expect(parseDirectory(JSON.stringify(createWorld().directory))).toMatchObject({ ok: true });
  });
});

describe('npm run demo -- --once', () => {
  it('shows the page’s request, the audit trail and the page’s answer, and exits 0', async () => {
    const demo = await startDemo(['--once']);
    expect(await demo.exitCode).toBe(0);
    const output = demo.output();
    expect(output).toMatch(new RegExp(`^ {2}DELETE ${PAGE_PATH} HTTP/1\\.1\n {2}Authorization: bearer \\S+$`, 'm'));
    expect(output).toContain('\n{"audit":"intent",');
    expect(output).toContain('\n{"audit":"outcome",');
    expect(output).toContain(`\n\n${PAGE_BODY.replace(/^/gm, '  ')}\n`);
    expect(output).not.toContain('curl');
  });

  it('exits 1 and says what differed where the answer is not the page’s', async () => {
    const otherPage: Plugin = {
      name: 'other-page',
      setup: ({ onLoad }) =>
        onLoad({ filter: /sandbox\/page\.ts$/ }, ({ path }) => ({
          contents: readFileSync(path, 'utf8').replace('"name-505"', '"name-500"'),
          loader: 'ts',
        })),
    };
    const demo = await startDemo(['--once'], [otherPage]);
    expect(await demo.exitCode).toBe(1);
    expect(demo.output()).toContain('- body, line 9: "    \\"name\\": \\"name-505\\",');
  });
});

const hasCurl = await promisify(execFile)('curl', ['--version']).then(
  () => true,
  () => false,
);

describe.skipIf(!hasCurl)('npm run demo', () => {
  let demo: DemoProcess;
  let examples: { title: string; line: string }[];

  beforeAll(async () => {
    demo = await startDemo([]);
    const until = Date.now() + 15_000;
    while (!demo.output().includes('/v2/organisations') && Date.now() < until) {
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
    examples = [...demo.output().matchAll(/^# (.+)\n(.+)\n/gm)].map(([, title = '', line = '']) => ({ title, line }));
  });

  /** Status and code of the only answer that is shown. */
  async function paste(line: string): Promise<{ status: number; code: number | undefined }> {
    const { stdout } = await promisify(execFile)('sh', ['-c', line]);
    const [, status, body] = /^HTTP\/1\.1 (\d{3}) [\s\S]*?\r\n\r\n(\{[\s\S]*\})\s*$/.exec(stdout) ?? [];
    return { status: Number(status), code: JSON.parse(body ?? '{}').code };
  }

  it('prints a line that succeeds, and one for each common error', () => {
    const said = examples.map(({ title }) => title.replace(/:.*/, ''));
    expect(said).toEqual([
      '201',
      '401, code 10002',
      '401, code 1000',
      '404, code 30003',
      '403, code 10003',
      '400, code 1002',
      '400, code 10005',
      '429, code 10013',
      '404, code 10000',
    ]);
  });

  it.each(['first', 'second'])('every line does what it says, the %s time too', async () => {
    for (const { title, line } of examples) {
      const [, status, code] = /^(\d+)(?:, code (\d+))?:/.exec(title) ?? [];
      const expected = { status: Number(status), code: code === undefined ? undefined : Number(code) };
      expect({ title, ...(await paste(line)) }).toEqual({ title, ...expected });
    }
  });

  it('prints what another Holdover needs for its sandbox, and the README’s first call succeeds there', async () => {
    const [exports = ''] = /^export .+$/m.exec(demo.output()) ?? [];
    const backing = [...exports.matchAll(/(\w+)='([^']*)'/g)].map(([, name = '', value = '']) => [name, value]);
    const secret = randomBytes(32).toString('base64url');
    const holdover = await startOnNode({ ...Object.fromEntries(backing), LEGACY_TOKEN_SECRET: secret });
    const [, commands = ''] = /<!-- first-call:[^`]*```sh\n([\s\S]*?)```/.exec(readFileSync('README.md', 'utf8')) ?? [];
    const env = { PATH: process.env['PATH'], LEGACY_TOKEN_SECRET: secret, PORT: new URL(holdover.url).port };
    const { stdout } = await promisify(execFile)('sh', ['-c', commands], { env });
    expect(stdout).toMatch(/^HTTP\/1\.1 201 Created\r\n/);
    expect(stdout.endsWith(`\r\n\r\n${PAGE_BODY}`)).toBe(true);
    await holdover.stop();
  });

  it('listens on 127.0.0.1 alone', async () => {
    const urls = [...demo.output().matchAll(/http:\/\/[\d.]+:\d+/g)].map(([url]) => url);
    expect(new Set(urls.map((url) => new URL(url).hostname))).toEqual(new Set(['127.0.0.1']));
    for (const url of new Set(urls)) {
      await expect(fetch(url.replace('127.0.0.1', '127.0.0.2'))).rejects.toThrow('fetch failed');
    }
  });

  it('ends with Ctrl-C, and leaves no file behind', async () => {
    expect(readdirSync(folder)).toHaveLength(1);
    demo.child.kill('SIGINT');
    expect(await demo.exitCode).toBe(0);
    expect(readdirSync(folder)).toEqual([]);
  });
});
