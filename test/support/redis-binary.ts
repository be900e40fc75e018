/**
 * Where the tests get a `redis-server` from: PATH, or Debian's packages fetched without root into node_modules/.cache.
 * No npm package ships one. How it is started: `redis.ts`.
 */
import { execFile } from 'node:child_process';
import { accessSync, constants, existsSync, mkdirSync, mkdtempSync, readdirSync, renameSync, rmSync } from 'node:fs';
import { delimiter, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

export interface RedisBinary {
  readonly path: string;
  /** What its environment needs beside our own. */
  readonly env: Readonly<Record<string, string>>;
}

const run = promisify(execFile);
const CACHE = resolve(fileURLToPath(import.meta.url), '../../../node_modules/.cache');

let found: Promise<RedisBinary> | undefined;

/** Rejects, with what to do about it, where there is none and none can be fetched. */
export function redisBinary(): Promise<RedisBinary> {
  found ??= find();
  return found;
}

async function find(): Promise<RedisBinary> {
  const installed = findOnPath('redis-server');
  if (installed !== undefined) return { path: installed, env: {} };
  const unpacked = join(CACHE, 'redis');
  try {
    if (!existsSync(unpacked)) await unpackDebianPackages(unpacked);
    const lib = join(unpacked, 'usr/lib');
    const libraries = existsSync(lib) ? readdirSync(lib).map((name) => join(lib, name)) : [];
    const binary = {
      path: join(unpacked, 'usr/bin/redis-server'),
      env: { LD_LIBRARY_PATH: libraries.join(delimiter) },
    };
    await run(binary.path, ['--version'], { env: { ...process.env, ...binary.env } });
    return binary;
  } catch (error) {
    throw new Error(
      'These tests need redis-server. Install it (Debian: apt-get install redis-server; macOS: brew install redis), ' +
        'or set TEST_REDIS_URL to a server that may be written to. Fetching it with apt-get, without root, failed:\n' +
        String(error),
    );
  }
}

function findOnPath(name: string): string | undefined {
  for (const folder of (process.env['PATH'] ?? '').split(delimiter)) {
    const path = join(folder, name);
    try {
      accessSync(path, constants.X_OK);
      return path;
    } catch {
      // Not in this folder.
    }
  }
  return undefined;
}

/** Several test workers may do this at once: each fetches into a folder of its own, and the first rename wins. */
async function unpackDebianPackages(target: string): Promise<void> {
  mkdirSync(CACHE, { recursive: true });
  const work = mkdtempSync(join(CACHE, 'redis-fetch-'));
  try {
    await fetchPackages(work);
    const tree = join(work, 'tree');
    for (const file of readdirSync(work).filter((name) => name.endsWith('.deb'))) {
      await run('dpkg', ['-x', join(work, file), tree]);
    }
    try {
      renameSync(tree, target);
    } catch (error) {
      if (!existsSync(target)) throw error;
    }
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
}

async function fetchPackages(work: string): Promise<void> {
  try {
    await download(work, []);
  } catch {
    // No package lists (a fresh container image has none), or stale ones: fetch lists of our own, which needs no root.
    for (const folder of ['lists/partial', 'cache/archives/partial'])
      mkdirSync(join(work, folder), { recursive: true });
    const own = [`Dir::State::lists=${join(work, 'lists')}`, `Dir::Cache=${join(work, 'cache')}`];
    const options = [...own, 'APT::Sandbox::User=', 'Debug::NoLocking=1'].flatMap((option) => ['-o', option]);
    await run('apt-get', [...options, 'update', '--error-on=any'], { cwd: work }).catch((error: unknown) => {
      // A third party's list may be unreachable while Debian's came through: the download below will tell.
      if (readdirSync(join(work, 'lists')).length <= 1) throw error;
    });
    await download(work, options);
  }
}

async function download(work: string, options: readonly string[]): Promise<void> {
  const depends = ['depends', '--recurse', '--important', 'redis-server'];
  const { stdout: tree } = await run('apt-cache', [...options, ...depends], { cwd: work, maxBuffer: 16 << 20 });
  const { stdout: selections } = await run('dpkg', ['--get-selections'], { maxBuffer: 16 << 20 });
  const isInstalled = new Set([...selections.matchAll(/^([^\s:]+)\S*\s+install$/gm)].map(([, name]) => name));
  const libraries = new Set(
    tree.split('\n').filter((line) => /^(lib(?!c6$)|lua-)/.test(line) && !isInstalled.has(line)),
  );
  const names = ['redis-server', 'redis-tools', ...libraries];
  const unsandboxed = ['-o', 'APT::Sandbox::User='];
  await run('apt-get', [...options, ...unsandboxed, 'download', ...names], { cwd: work });
}
