import type { Redis } from 'ioredis';
import { afterAll, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';
import { createDirectory } from '../../src/directory/cache.ts';
import { type DirectoryContents, parseDirectory } from '../../src/directory/contents.ts';
import { type DirectorySource, DirectoryUnavailable } from '../../src/directory/source.ts';
import { createRequestRedis } from '../../src/redis/connection.ts';
import { createRedisDirectory, MARKER_KEY, toDirectoryKeys } from '../../src/redis/directory.ts';
import { loadDirectory, replaceDirectory } from '../../src/redis/load-directory.ts';
import type { Scope } from '../../src/scope.ts';
import type { Log } from '../../src/telemetry/log.ts';
import { NO_METER } from '../../src/telemetry/meter.ts';
import { canOwnRedis, type RedisServer, startRedis, startRedisCluster } from '../support/redis.ts';
import { BACKEND_USER, OTHER_BACKEND_USER, sampleDirectory, sampleRecord } from '../support/sample-directory.ts';

const isOwnPossible = await canOwnRedis();
const SILENT: Log = { debug() {}, info() {}, warn() {}, error() {} };

let server: RedisServer;
let client: Redis;
let source: DirectorySource;
let scope: Scope;

beforeAll(async () => {
  server = await startRedis();
  client = server.client();
});

afterAll(() => server.stop());

const toScope = (redis: ReturnType<Scope['redis']>): Scope => ({
  waitUntil() {},
  redis: () => redis,
  followerWaitMs: Infinity,
});

beforeEach(async () => {
  await client.flushdb();
  source = createRedisDirectory();
  scope = toScope(client);
});

const contentsOf = (changes: Readonly<Record<string, unknown>>): DirectoryContents => {
  const parsed = parseDirectory(sampleDirectory(changes));
  if (!parsed.ok) throw new Error(parsed.mistakes.join('\n'));
  return parsed.value;
};

const record = sampleRecord({ guid: 'g', name: 'as it was' });
const CONTENTS = contentsOf({
  organizations: [record, sampleRecord()],
  users: { a: BACKEND_USER },
  unmapped_users: 'same',
});
const KEYS = toDirectoryKeys('v1');
const UNMAPPED = 'aaaaaaaa-bbbb-4ccc-8ddd-eeeeeeeeeeee';

/** What a look-up says of organization g, an unknown one, and an unmapped user. */
const ask = async () => {
  const say = (asked: Promise<{ value: unknown }>) =>
    asked.then(
      ({ value }) => (value === undefined ? 'unknown' : 'found'),
      (error: unknown) => (error instanceof DirectoryUnavailable ? `${error.extent} unavailable` : error),
    );
  return Promise.all([
    say(source.organization('g', scope)),
    say(source.organization('x', scope)),
    say(source.backendUser(UNMAPPED, scope)),
  ]);
};

const DOWN = ['source unavailable', 'source unavailable', 'source unavailable'];

describe('reading the directory in Redis', () => {
  it('takes one command for each look-up, also on a server that never saw the script', async () => {
    await loadDirectory(client, CONTENTS, 'v1');
    await client.script('FLUSH');
    const sent = vi.spyOn(client, 'sendCommand');
    await source.organization('g', scope);
    await source.backendUser('a', scope);
    expect(sent.mock.calls.map(([command]) => (command as { name: string }).name)).toEqual(['eval', 'eval']);
    sent.mockRestore();
  });

  it('is unavailable, never "not found", where Redis was flushed', async () => {
    await loadDirectory(client, CONTENTS, 'v1');
    expect(await ask()).toEqual(['found', 'unknown', 'found']);
    await client.flushdb();
    expect(await ask()).toEqual(DOWN);
  });

  it('is unavailable through the cache too, for what it never loaded', async () => {
    const cached = createDirectory({ source, cacheSeconds: 60, monotonicMs: () => 0, log: SILENT, meter: NO_METER });
    const found = await cached.forScope(scope).findOrganization('g');
    expect(found).toEqual({
      ok: false,
      failure: { kind: 'unavailable', dependency: 'directory', reason: 'Redis holds no directory: no marker' },
    });
    await cached.warmUp(scope);
    expect(cached.status().isLoaded).toBe(false);
  });

  it.each(['organizations', 'users', 'reserved'] as const)('never takes lost %s for unknown ones', async (part) => {
    await loadDirectory(client, CONTENTS, 'v1');
    await client.del(KEYS[part]);
    const said = await ask();
    expect(said[part === 'organizations' ? 1 : 2]).toBe('source unavailable');
    await expect(source.describe(scope)).rejects.toThrow(/Redis lost a part of the directory: 0 of \d/);
  });

  it('serves mapped users where only the reserved ids are lost, and organizations', async () => {
    await loadDirectory(client, CONTENTS, 'v1');
    await client.del(KEYS.reserved);
    const cached = createDirectory({ source, cacheSeconds: 60, monotonicMs: () => 0, log: SILENT, meter: NO_METER });
    const { findBackendUser, findOrganization } = cached.forScope(scope);
    for (let times = 0; times < 4; times += 1) {
      expect(await findBackendUser('a')).toEqual({ ok: true, value: BACKEND_USER });
    }
    expect(await findBackendUser(UNMAPPED)).toMatchObject({ ok: false, failure: { kind: 'unavailable' } });
    expect((await findBackendUser('a')).ok).toBe(true);
    expect((await findOrganization('g')).ok).toBe(true);
  });

  it.each([
    [999, 'whole'],
    [1000, 'whole'],
    [1001, 'too many'],
  ])('holds %i users: %s', async (count, expected) => {
    const toId = (index: number, kind: string) => `${kind.repeat(8)}-0000-4000-8000-${`${index}`.padStart(12, '0')}`;
    const users = Object.fromEntries(Array.from({ length: count }, (_, index) => [toId(index, 'A'), toId(index, 'b')]));
    await loadDirectory(client, contentsOf({ organizations: [record], users, unmapped_users: 'same' }), 'v1');
    const cached = createDirectory({ source, cacheSeconds: 60, monotonicMs: () => 0, log: SILENT, meter: NO_METER });
    const { findBackendUser, findOrganization } = cached.forScope(scope);
    await findOrganization('g');
    const sent = vi.spyOn(client, 'sendCommand');
    for (let index = 0; index < 5; index += 1) {
      expect(await findBackendUser(toId(index, 'A'))).toEqual({ ok: true, value: toId(index, 'b') });
    }
    expect(await findBackendUser(toId(0, 'b'))).toMatchObject({ ok: false, failure: { kind: 'user-unknown' } });
    // Users that are too many are never asked for as a whole; who is unknown is asked for alone.
    expect(sent.mock.calls.length).toBe(expected === 'whole' ? 2 : 6);
    sent.mockRestore();
  });

  it('never takes one lost field for an unknown organization or an unmapped user', async () => {
    await loadDirectory(client, CONTENTS, 'v1');
    await client.hdel(KEYS.organizations, 'g');
    await client.hdel(KEYS.users, 'a');
    expect(await ask()).toEqual(DOWN);
  });

  it.each([
    ['no JSON', 'v1'],
    ['no object', '7'],
    ['null', 'null'],
    ['no version', '{"unmapped_users":"same","organizations":2,"users":1,"reserved":1}'],
    ['an unknown mode', '{"version":"v1","unmapped_users":"all","organizations":2,"users":1,"reserved":1}'],
    ['counts that are none', '{"version":"v1","unmapped_users":"same","organizations":"2","users":-1,"reserved":0}'],
  ])('is unavailable with a marker that is %s', async (_what, marker) => {
    await loadDirectory(client, CONTENTS, 'v1');
    await client.set(MARKER_KEY, marker);
    expect(await ask()).toEqual(DOWN);
  });

  it('is unavailable where other things lie under its keys', async () => {
    await client.hset(MARKER_KEY, 'version', 'v1');
    expect(await ask()).toEqual(DOWN);
    await client.del(MARKER_KEY);
    await loadDirectory(client, CONTENTS, 'v1');
    for (const key of Object.values(KEYS)) await client.set(key, 'x');
    expect(await ask()).toEqual(DOWN);
  });

  it.each([
    ['no JSON', '{'],
    ['no record', '{"guid":"g"}'],
    ['the record of another guid', JSON.stringify(sampleRecord({ guid: 'h' }))],
  ])('does not use a record that is %s, and says that of this one only', async (_what, json) => {
    await loadDirectory(client, CONTENTS, 'v1');
    await client.hset(KEYS.organizations, 'g', json);
    expect(await ask()).toEqual(['entry unavailable', 'unknown', 'found']);
  });

  it('does not use a mapping to what is no UUID', async () => {
    await loadDirectory(client, CONTENTS, 'v1');
    await client.hset(KEYS.users, 'a', '../organization');
    await expect(source.backendUser('a', scope)).rejects.toMatchObject({ extent: 'entry' });
  });

  it.skipIf(!isOwnPossible)('ends within the time of one command where Redis is frozen', async () => {
    const own = await startRedis({ own: true });
    const impatient = createRequestRedis({ url: own.url, timeoutMs: 100 });
    try {
      await impatient.ping();
      own.freeze();
      scope = toScope(impatient);
      const startedAt = performance.now();
      expect(await ask()).toEqual(DOWN);
      expect(performance.now() - startedAt).toBeLessThan(2000);
    } finally {
      own.thaw();
      impatient.disconnect();
      await own.stop();
    }
  });
});

describe('loading a directory into Redis', () => {
  const keys = async () => (await client.keys('*')).sort();

  it('says what changed', async () => {
    const b = sampleRecord({ guid: 'b', managers: ['y', 'x'] });
    const first = await loadDirectory(
      client,
      contentsOf({ organizations: [record, b], users: { a: BACKEND_USER, b: BACKEND_USER } }),
      'v1',
    );
    expect(first).toEqual({
      version: 'v1',
      organizations: { total: 2, added: ['g', 'b'], removed: [], changed: [] },
      users: { total: 2, added: ['a', 'b'], removed: [], changed: [] },
      unmappedUsers: 'refuse',
      before: undefined,
      isOvertaken: false,
    });
    const changed = { ...record, name: 'as it is' };
    const reordered = { ...b, managers: ['x', 'y'], created_at: '2014-11-24T20:32:37+01:00' };
    const second = await loadDirectory(
      client,
      contentsOf({
        organizations: [sampleRecord({ guid: 'c' }), reordered, changed],
        users: { a: OTHER_BACKEND_USER },
      }),
      'v2',
    );
    expect(second).toMatchObject({
      organizations: { total: 3, added: ['c'], removed: [], changed: ['g'] },
      users: { total: 1, added: [], removed: ['b'], changed: ['a'] },
      before: { version: 'v1', unmappedUsers: 'refuse' },
      isOvertaken: false,
    });
    const third = await loadDirectory(client, contentsOf({}), 'v3');
    expect(third.organizations).toMatchObject({ total: 0, added: [], changed: [] });
    expect(new Set(third.organizations.removed)).toEqual(new Set(['g', 'b', 'c']));
  });

  it('leaves nothing of the version it replaces, and nothing that expires', async () => {
    await loadDirectory(client, CONTENTS, 'v1');
    await loadDirectory(client, CONTENTS, 'v2');
    expect(await keys()).toEqual([MARKER_KEY, ...Object.values(toDirectoryKeys('v2'))].sort());
    for (const key of await keys()) expect(await client.pttl(key)).toBe(-1);
  });

  it('leaves alone what is not the directory', async () => {
    await client.set('holdover:limit:x', '1');
    await loadDirectory(client, CONTENTS, 'v1');
    await loadDirectory(client, contentsOf({}), 'v2');
    expect(await client.get('holdover:limit:x')).toBe('1');
  });

  it('replaces a marker that it cannot read', async () => {
    await client.set(MARKER_KEY, 'garbage');
    await loadDirectory(client, CONTENTS, 'v1');
    expect(await ask()).toEqual(['found', 'unknown', 'found']);
  });

  it('writes more than one chunk, and every one of them', async () => {
    const managers = Array.from({ length: 300 }, (_, index) => `manager-${index}`);
    const organizations = Array.from({ length: 1203 }, (_, index) => sampleRecord({ guid: `many-${index}`, managers }));
    const users = Object.fromEntries(Array.from({ length: 1001 }, (_, index) => [`user-${index}`, BACKEND_USER]));
    await loadDirectory(client, contentsOf({ organizations, users }), 'v1');
    expect(await source.describe(scope)).toEqual({ version: 'v1', organizations: 1203, users: 1001 });
    for (const index of [0, 500, 1202]) {
      expect((await source.organization(`many-${index}`, scope)).value?.managers.size).toBe(300);
    }
  });

  it('changes nothing where it fails halfway, and what it wrote goes by itself', async () => {
    await loadDirectory(client, CONTENTS, 'v1');
    const reserved = (function* () {
      yield BACKEND_USER;
      throw new Error('the disk went away');
    })();
    const { organizations, users } = CONTENTS;
    const snapshot = { organizations: organizations.values(), users, reserved, unmappedUsers: 'same' as const };
    await expect(replaceDirectory(client, 'v2', snapshot)).rejects.toThrow('the disk went away');
    expect(await ask()).toEqual(['found', 'unknown', 'found']);
    const left = toDirectoryKeys('v2');
    for (const key of [left.organizations, left.users]) expect(await client.pttl(key)).toBeGreaterThan(0);
  });

  it('does not put in force what lost a part while it was written', async () => {
    await loadDirectory(client, CONTENTS, 'v1');
    const users = (function* () {
      yield ['a', BACKEND_USER] as const;
      void client.del(toDirectoryKeys('v2').organizations);
    })();
    const snapshot = {
      organizations: CONTENTS.organizations.values(),
      users,
      reserved: [],
      unmappedUsers: 'refuse' as const,
    };
    await expect(replaceDirectory(client, 'v2', snapshot)).rejects.toThrow(/INCOMPLETE/);
    expect((await source.describe(scope)).version).toBe('v1');
  });

  it('lets the last of several loads at once win, whole, and leaves nothing of the others', async () => {
    const versions = Array.from({ length: 5 }, (_, index) => `load-${index}`);
    const clients = versions.map(() => server.client());
    const reports = await Promise.all(
      versions.map((version, index) => {
        const organizations = Array.from({ length: 700 }, (_, n) => sampleRecord({ guid: `${version}-${n}` }));
        return loadDirectory(clients[index] ?? client, contentsOf({ organizations }), version);
      }),
    );
    const { version } = await source.describe(scope);
    expect(versions).toContain(version);
    expect(await source.describe(scope)).toEqual({ version, organizations: 700, users: 0 });
    expect((await source.organization(`${version}-699`, scope)).value).toBeDefined();
    expect(await keys()).toEqual([MARKER_KEY, toDirectoryKeys(version).organizations].sort());
    expect(reports.filter(({ isOvertaken }) => !isOvertaken).length).toBeGreaterThan(0);
  });

  it('never shows a reader anything but one whole version', async () => {
    const versionOf = (name: string) =>
      contentsOf({ organizations: [{ ...record, name }], users: { a: BACKEND_USER } });
    await loadDirectory(client, versionOf('name 0'), 'v-0');
    const reader = toScope(server.client());
    let isLoading = true;
    const reading = (async () => {
      const seen = new Set<string>();
      while (isLoading) {
        const { value, version } = await source.organization('g', reader);
        expect(value?.name).toBe(`name ${version.slice(2)}`);
        expect((await source.backendUser('a', reader)).value).toBe(BACKEND_USER);
        seen.add(version);
      }
      return seen.size;
    })();
    for (let index = 1; index <= 30; index += 1) await loadDirectory(client, versionOf(`name ${index}`), `v-${index}`);
    isLoading = false;
    expect(await reading).toBeGreaterThan(1);
  });
});

describe.skipIf(!isOwnPossible)('on other servers', () => {
  it('loads and reads on a Cluster', async () => {
    const cluster = await startRedisCluster();
    try {
      const nodes = cluster.client();
      const report = await loadDirectory(nodes, CONTENTS, 'v1');
      expect(report.organizations.total).toBe(2);
      await loadDirectory(nodes, CONTENTS, 'v2');
      scope = toScope(nodes);
      expect(await ask()).toEqual(['found', 'unknown', 'found']);
    } finally {
      await cluster.stop();
    }
  });

  it('says that a replica takes no writes, and leaves it as it is', async () => {
    const own = await startRedis({ own: true });
    try {
      const writer = own.client();
      await loadDirectory(writer, CONTENTS, 'v1');
      await writer.replicaof('127.0.0.1', 1);
      await expect(loadDirectory(writer, CONTENTS, 'v2')).rejects.toThrow(/READONLY/);
      scope = toScope(writer);
      expect(await ask()).toEqual(['found', 'unknown', 'found']);
    } finally {
      await own.stop();
    }
  });
});
