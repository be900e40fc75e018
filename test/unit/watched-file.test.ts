import { mkdir, mkdtemp, rename, rm, symlink, utimes, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import type { Log } from '../../src/telemetry/log.ts';
import { openWatchedFile, readTextFile, type WatchedFile } from '../../src/watched-file.ts';

const POLL_MS = 10;

let folder: string;
let path: string;
let lines: { level: string; message: string; fields: unknown }[];
let files: WatchedFile<number>[];

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'holdover-watched-'));
  path = join(folder, 'number');
  lines = [];
  files = [];
});

afterEach(async () => {
  for (const file of files) file.close();
  await rm(folder, { recursive: true });
});

const write = (level: string) => (message: string, fields?: unknown) => void lines.push({ level, message, fields });
const log: Log = { debug: write('debug'), info: write('info'), warn: write('warn'), error: write('error') };
const parse = (text: string) => {
  const value = Number(text);
  return Number.isNaN(value) ? { ok: false as const, mistakes: [`found ${text}`] } : { ok: true as const, value };
};

const open = async () => {
  const opened = await openWatchedFile({ path, parse, log, pollMs: POLL_MS });
  if (!opened.ok) throw new Error(opened.mistakes.join());
  files.push(opened.value);
  return opened.value;
};

/** As an editor or a mount does it; a reader never sees half of it. */
const put = async (text: string) => {
  await writeFile(`${path}.new`, text);
  await rename(`${path}.new`, path);
};

const eventually = (assertion: () => void) => vi.waitFor(assertion, { timeout: 5000, interval: 5 });

/** Long enough for several polls. */
const aWhile = () => new Promise((resolve) => setTimeout(resolve, 10 * POLL_MS));

describe('a watched file', () => {
  it('is picked up when it is written anew', async () => {
    await writeFile(path, '1');
    const file = await open();
    const first = file.version();
    await put('22');
    await eventually(() => expect(file.current()).toBe(22));
    expect(file.version()).not.toBe(first);
  });

  it('is picked up when another file takes its name with the same size and time', async () => {
    const at = new Date(1_700_000_000_000);
    await writeFile(path, '1');
    await utimes(path, at, at);
    const file = await open();
    await writeFile(`${path}.new`, '2');
    await utimes(`${path}.new`, at, at);
    await rename(`${path}.new`, path);
    await eventually(() => expect(file.current()).toBe(2));
  });

  it('is picked up when a symlink above it is swapped, as mounted secrets do', async () => {
    for (const version of ['1', '2']) {
      await mkdir(join(folder, version));
      await writeFile(join(folder, version, 'number'), version);
    }
    await symlink('1', join(folder, '..data'));
    path = join(folder, '..data', 'number');
    const file = await open();
    await symlink('2', join(folder, '..next'));
    await rename(join(folder, '..next'), join(folder, '..data'));
    await eventually(() => expect(file.current()).toBe(2));
  });

  it('keeps its last good version while it is broken, and says once what is wrong', async () => {
    await writeFile(path, '1');
    const file = await open();
    await put('one');
    await eventually(() => expect(lines).toHaveLength(1));
    await aWhile();
    expect(lines).toEqual([
      {
        level: 'error',
        message: 'file not usable, its last good version stays in force',
        fields: { path, mistakes: 'found one' },
      },
    ]);
    expect(file.current()).toBe(1);
    await put('3');
    await eventually(() => expect(file.current()).toBe(3));
  });

  it('keeps its last good version while it is missing, and comes back', async () => {
    await writeFile(path, '1');
    const file = await open();
    await rename(path, `${path}.away`);
    await eventually(() => expect(lines).toHaveLength(1));
    await aWhile();
    expect(lines.map(({ fields }) => fields)).toEqual([{ path, mistakes: 'there is no such file' }]);
    expect(file.current()).toBe(1);
    await rename(`${path}.away`, path);
    await eventually(() => expect(lines.at(-1)?.message).toBe('file picked up'));
  });

  it('is not parsed again as long as it stays the same', async () => {
    await writeFile(path, '1');
    const file = await open();
    const version = file.version();
    await aWhile();
    expect(file.version()).toBe(version);
    expect(lines).toEqual([]);
  });

  it('is left alone once closed', async () => {
    await writeFile(path, '1');
    const file = await open();
    file.close();
    await writeFile(path, '2');
    await aWhile();
    expect(file.current()).toBe(1);
  });

  it('is a list of mistakes where it is missing or broken at the start', async () => {
    const openNow = () => openWatchedFile({ path, parse, log, pollMs: POLL_MS });
    expect(await openNow()).toEqual({ ok: false, mistakes: ['there is no such file'] });
    await writeFile(path, 'one');
    expect(await openNow()).toEqual({ ok: false, mistakes: ['found one'] });
    await writeFile(path, Uint8Array.of(0x31, 0xff));
    expect(await openNow()).toEqual({ ok: false, mistakes: ['is not UTF-8'] });
    path = folder;
    expect(await openNow()).toEqual({ ok: false, mistakes: ['is not a regular file'] });
  });

  it('is never waited for where it is no regular file', async () => {
    path = '/dev/zero';
    expect(await openWatchedFile({ path, parse, log })).toEqual({ ok: false, mistakes: ['is not a regular file'] });
  });
});

it('a byte order mark is no part of a text file', async () => {
  await writeFile(path, '\ufeff1');
  expect(await readTextFile(path)).toEqual({ ok: true, value: '1' });
});
