/**
 * Replaces the whole directory in Redis, all or nothing: a new version is written beside the one in force, then one script
 * checks that it is complete, points the marker at it and deletes the version it replaces. Until then every key of it
 * expires by itself, so a load that dies leaves nothing behind; two loads at once have keys of their own, and the last
 * marker wins.
 */
import { type Cluster, type Redis, ReplyError } from 'ioredis';
import type { DirectoryContents } from '../directory/contents.ts';
import { toRecordJson } from '../directory/record.ts';
import { toReservedIds, type UnmappedUsers } from '../directory/users.ts';
import type { Organization } from '../policy/organization.ts';
import {
  DIRECTORY_PARTS,
  DIRECTORY_PREFIX,
  type DirectoryKeys,
  MARKER_KEY,
  type Marker,
  parseMarker,
  toDirectoryKeys,
} from './directory.ts';

export interface LoadReport {
  readonly version: string;
  readonly organizations: Difference;
  readonly users: Difference;
  readonly unmappedUsers: UnmappedUsers;
  /** Undefined where there was no directory before. */
  readonly before: { readonly version: string; readonly unmappedUsers: UnmappedUsers } | undefined;
  /** Whether another load came in between, so that the differences are to a version that was not the last. */
  readonly isOvertaken: boolean;
}

/** Ids, by what happened to them. */
export interface Difference {
  readonly total: number;
  readonly added: readonly string[];
  readonly removed: readonly string[];
  readonly changed: readonly string[];
}

/** Rejects with the client's error; then nothing has changed, unless it was a time-out of the very last step. */
export async function loadDirectory(
  client: Redis | Cluster,
  { organizations, users, unmappedUsers }: DirectoryContents,
  version: string,
): Promise<LoadReport> {
  const before = parseMarker(await client.get(MARKER_KEY));
  const old = before && toDirectoryKeys(before.version);
  const report = {
    version,
    organizations: await compare(client, old?.organizations, organizations, toRecordJson),
    users: await compare(client, old?.users, users, (backendUser) => backendUser),
    unmappedUsers,
    before: before && { version: before.version, unmappedUsers: before.unmapped_users },
  };
  const reserved = unmappedUsers === 'same' ? toReservedIds(users) : new Set<string>();
  const replaced = await replaceDirectory(client, version, {
    organizations: organizations.values(),
    users,
    reserved,
    unmappedUsers,
  });
  return { ...report, isOvertaken: replaced !== before?.version };
}

export interface DirectorySnapshot {
  readonly organizations: Iterable<Organization>;
  /** Backend id by legacy id. */
  readonly users: Iterable<readonly [string, string]>;
  readonly reserved: Iterable<string>;
  readonly unmappedUsers: UnmappedUsers;
}

/** Puts `snapshot` in force as `version`, which nobody has used before. Resolves with the version it replaced. */
export async function replaceDirectory(
  client: Redis | Cluster,
  version: string,
  snapshot: DirectorySnapshot,
): Promise<string | undefined> {
  const keys = toDirectoryKeys(version);
  const write = (command: 'hset' | 'sadd', key: string, chunk: string[]) =>
    writeChunk(client, keys, command, key, chunk);
  const marker: Marker = {
    version,
    unmapped_users: snapshot.unmappedUsers,
    organizations: await inChunks(toRecordFields(snapshot.organizations), (chunk) =>
      write('hset', keys.organizations, chunk),
    ),
    users: await inChunks(snapshot.users, (chunk) => write('hset', keys.users, chunk)),
    reserved: await inChunks(toSingles(snapshot.reserved), (chunk) => write('sadd', keys.reserved, chunk)),
  };
  const json = JSON.stringify(marker);
  try {
    const replaced = await client.eval(COMMIT, 4, MARKER_KEY, keys.organizations, keys.users, keys.reserved, json);
    return typeof replaced === 'string' ? replaced : undefined;
  } catch (error) {
    if (error instanceof ReplyError) throw error;
    // Sent, and no answer: nobody knows which version is in force.
    throw new Error('no answer to the very last step: the new directory may be in force or not, load it again', {
      cause: error,
    });
  }
}

/** The marker last: where a part is missing (a load that slept longer than LEASE_MS), nothing changes. */
const COMMIT = `
local marker = cjson.decode(ARGV[1])
if redis.call('HLEN', KEYS[2]) ~= marker.organizations or redis.call('HLEN', KEYS[3]) ~= marker.users
  or redis.call('SCARD', KEYS[4]) ~= marker.reserved then
  return redis.error_reply('INCOMPLETE the new directory lost a part before it was in force')
end
for part = 2, 4 do redis.call('PERSIST', KEYS[part]) end
local old = redis.call('GET', KEYS[1])
redis.call('SET', KEYS[1], ARGV[1])
local isMarker, replaced = pcall(cjson.decode, old)
if not isMarker or type(replaced) ~= 'table' or type(replaced.version) ~= 'string' then return false end
redis.call('UNLINK', ${DIRECTORY_PARTS.map((part) => `'${DIRECTORY_PREFIX}' .. replaced.version .. ':${part}'`).join(', ')})
return replaced.version
`;

/** How long a load may pause between two chunks; and how long the rest of one that died stays. */
const LEASE_MS = 10 * 60_000;

/** Small enough not to hold up the limiter's commands for more than a few milliseconds. */
const CHUNK_ENTRIES = 500;
const CHUNK_CHARACTERS = 256 * 1024;

async function writeChunk(
  client: Redis | Cluster,
  keys: DirectoryKeys,
  command: 'hset' | 'sadd',
  key: string,
  chunk: string[],
): Promise<void> {
  const transaction = client.multi();
  if (command === 'hset') transaction.hset(key, ...chunk);
  else transaction.sadd(key, ...chunk);
  for (const each of Object.values(keys)) transaction.pexpire(each, LEASE_MS);
  const replies = await transaction.exec().catch((error: unknown) => {
    throw toCause(error);
  });
  const error = replies?.find(([failed]) => failed !== null)?.[0];
  if (error) throw error;
}

/** What made Redis discard a transaction: READONLY or OOM says more than EXECABORT. */
function toCause(error: unknown): unknown {
  const causes = error instanceof Error && 'previousErrors' in error ? error.previousErrors : undefined;
  return Array.isArray(causes) ? (causes[0] ?? error) : error;
}

/** Resolves with the number of entries. */
async function inChunks(
  entries: Iterable<readonly string[]>,
  write: (chunk: string[]) => Promise<void>,
): Promise<number> {
  let total = 0;
  let chunk: string[] = [];
  let characters = 0;
  let inChunk = 0;
  for (const entry of entries) {
    total += 1;
    inChunk += 1;
    for (const part of entry) {
      chunk.push(part);
      characters += part.length;
    }
    if (inChunk < CHUNK_ENTRIES && characters < CHUNK_CHARACTERS) continue;
    await write(chunk);
    chunk = [];
    characters = 0;
    inChunk = 0;
  }
  if (chunk.length > 0) await write(chunk);
  return total;
}

function* toRecordFields(organizations: Iterable<Organization>): Iterable<readonly [string, string]> {
  for (const organization of organizations) yield [organization.guid, toRecordJson(organization)];
}

function* toSingles(members: Iterable<string>): Iterable<readonly [string]> {
  for (const member of members) yield [member];
}

/** The hash `key` as it is beside what it shall become. HSCAN may bring a field twice. */
async function compare<Value>(
  client: Redis | Cluster,
  key: string | undefined,
  next: ReadonlyMap<string, Value>,
  toText: (value: Value) => string,
): Promise<Difference> {
  const seen = new Set<string>();
  const removed = new Set<string>();
  const changed = new Set<string>();
  for await (const [field, text] of key === undefined ? [] : scanHash(client, key)) {
    const value = next.get(field);
    if (value === undefined) removed.add(field);
    else if (toText(value) !== text) changed.add(field);
    seen.add(field);
  }
  const added = [...next.keys()].filter((field) => !seen.has(field));
  return { total: next.size, added, removed: [...removed], changed: [...changed] };
}

async function* scanHash(client: Redis | Cluster, key: string): AsyncIterable<readonly [string, string]> {
  let cursor = '0';
  do {
    const [next, fields] = await client.hscan(key, cursor, 'COUNT', CHUNK_ENTRIES);
    cursor = next;
    for (let index = 0; index + 1 < fields.length; index += 2) yield [fields[index] ?? '', fields[index + 1] ?? ''];
  } while (cursor !== '0');
}
