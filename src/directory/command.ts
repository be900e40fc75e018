/**
 * `npm run directory -- load|check FILE [--live]`: reads the file, says everything that is wrong with it, and puts it into
 * Redis or asks the backend. What it is started with: `directory-command.ts`.
 */
import { randomBytes } from 'node:crypto';
import type { Cluster, Redis } from 'ioredis';
import type { Parsed } from '../json-text.ts';
import { type Difference, type LoadReport, loadDirectory } from '../redis/load-directory.ts';
import { readTextFile } from '../watched-file.ts';
import { type DirectoryContents, parseDirectory } from './contents.ts';
import { type AskOrganization, checkLive } from './live-check.ts';

export interface CommandWorld {
  readonly print: (line: string) => void;
  readonly complain: (line: string) => void;
  readonly epochMs: () => number;
  /** Connected, or why not. */
  readonly openRedis: () => Promise<Parsed<OpenRedis>>;
  readonly openBackend: () => Parsed<OpenBackend>;
}

export interface OpenRedis {
  readonly client: Redis | Cluster;
  /** Without user and password. */
  readonly host: string;
  close(): Promise<void>;
}

export interface OpenBackend {
  readonly askOrganization: AskOrganization;
  close(): Promise<void>;
}

/** Exit codes: done; the directory has mistakes, or the backend does not confirm it; it could not be tried. */
const DONE = 0;
const WRONG = 1;
const NOT_TRIED = 2;

const USAGE = `usage: npm run directory -- check FILE          says everything that is wrong with a directory
       npm run directory -- check FILE --live   and asks the backend whose organization each credential is
       npm run directory -- load FILE           puts it in force in the Redis of REDIS_URL, whole or not at all`;

/** Resolves with the exit code. */
export async function runDirectoryCommand(words: readonly string[], world: CommandWorld): Promise<number> {
  const task = parseTask(words);
  if (task === undefined) {
    world.complain(USAGE);
    return NOT_TRIED;
  }
  const { path } = task;
  const text = await readTextFile(path);
  if (!text.ok) return refuse(world, NOT_TRIED, text.mistakes, path);
  const contents = parseDirectory(text.value);
  if (!contents.ok) return refuse(world, WRONG, contents.mistakes, path);
  if (task.command === 'load') return load(contents.value, world);
  const { organizations, users, unmappedUsers } = contents.value;
  const counts = `${organizations.size} organizations, ${users.size} users, unmapped users: ${unmappedUsers}`;
  world.print(`${path}: valid: ${counts}`);
  return task.isLive ? checkAgainstBackend(contents.value, world) : DONE;
}

interface Task {
  readonly command: 'check' | 'load';
  readonly path: string;
  readonly isLive: boolean;
}

function parseTask(words: readonly string[]): Task | undefined {
  const isLive = words.includes('--live');
  const [command, path, ...rest] = words.filter((word) => word !== '--live');
  if ((command !== 'check' && command !== 'load') || !path || path.startsWith('-') || rest.length > 0) return undefined;
  return command === 'load' && isLive ? undefined : { command, path, isLive };
}

function refuse({ complain }: CommandWorld, code: number, mistakes: readonly string[], path?: string): number {
  for (const mistake of mistakes) complain(path === undefined ? mistake : `${path}: ${mistake}`);
  return code;
}

async function checkAgainstBackend(contents: DirectoryContents, world: CommandWorld): Promise<number> {
  const opened = world.openBackend();
  if (!opened.ok) return refuse(world, NOT_TRIED, opened.mistakes);
  try {
    const { asked, mistakes } = await checkLive(contents, opened.value.askOrganization);
    if (mistakes.length > 0) return refuse(world, WRONG, mistakes);
    world.print(`backend: ${asked} credentials belong to the organizations they stand for`);
    return DONE;
  } finally {
    await opened.value.close();
  }
}

async function load(contents: DirectoryContents, world: CommandWorld): Promise<number> {
  const redis = await world.openRedis();
  if (!redis.ok) return refuse(world, NOT_TRIED, redis.mistakes);
  const { client, host, close } = redis.value;
  // Sorts by time, for whoever looks at the keys; the random part keeps two loads of one second apart.
  const stamp = new Date(world.epochMs()).toISOString().slice(0, 19).replaceAll(/[-:]/g, '');
  try {
    const report = await loadDirectory(client, contents, `${stamp}Z-${randomBytes(4).toString('hex')}`);
    for (const line of toLines(report)) world.print(line);
    world.print(`in force in ${host}: version ${report.version}`);
    return DONE;
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    return refuse(world, NOT_TRIED, [`not loaded into Redis at ${host}: ${reason}`]);
  } finally {
    await close();
  }
}

function toLines({ organizations, users, unmappedUsers, before, isOvertaken }: LoadReport): string[] {
  const was = before && before.unmappedUsers !== unmappedUsers ? ` (was: ${before.unmappedUsers})` : '';
  return [
    before ? `compared with version ${before.version}` : 'there was no directory before',
    ...(isOvertaken
      ? ['another load came in between: the differences are not to the version that this one replaced']
      : []),
    ...toDifferenceLines('organizations', organizations),
    ...toDifferenceLines('users', users),
    `unmapped users: ${unmappedUsers}${was}`,
  ];
}

/** Of each kind of difference; the numbers are always there. */
const SHOWN_IDS = 20;

function toDifferenceLines(name: string, { total, added, removed, changed }: Difference): string[] {
  const list = (sign: string, ids: readonly string[]) => [
    ...ids.slice(0, SHOWN_IDS).map((id) => `  ${sign} ${id}`),
    ...(ids.length > SHOWN_IDS ? [`  ${sign} and ${ids.length - SHOWN_IDS} more`] : []),
  ];
  return [
    `${name}: ${total}; ${added.length} added, ${removed.length} removed, ${changed.length} changed`,
    ...list('+', added),
    ...list('-', removed),
    ...list('~', changed),
  ];
}
