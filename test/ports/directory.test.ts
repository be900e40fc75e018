/** What every source of the directory promises: one suite, run on the file and on Redis. */
import { mkdtemp, rename, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { createDirectory } from '../../src/directory/cache.ts';
import { parseDirectory } from '../../src/directory/contents.ts';
import { openFileDirectory } from '../../src/directory/file.ts';
import { type DirectorySource, DirectoryUnavailable } from '../../src/directory/source.ts';
import { createRedisDirectory } from '../../src/redis/directory.ts';
import { loadDirectory } from '../../src/redis/load-directory.ts';
import type { Scope } from '../../src/scope.ts';
import type { Log } from '../../src/telemetry/log.ts';
import { NO_METER } from '../../src/telemetry/meter.ts';
import { type RedisServer, startRedis } from '../support/redis.ts';
import { BACKEND_USER, OTHER_BACKEND_USER, sampleDirectory, sampleRecord } from '../support/sample-directory.ts';

interface Port {
  readonly source: DirectorySource;
  readonly scope: Scope;
  /** Puts another directory in the place of the one before, and returns when it is in force. */
  replace(text: string): Promise<void>;
  close(): Promise<void>;
}

const SILENT: Log = { debug() {}, info() {}, warn() {}, error() {} };
const NO_REDIS: Scope = {
  waitUntil() {},
  redis() {
    throw new Error('no Redis');
  },
  followerWaitMs: Infinity,
};

async function openFile(text: string): Promise<Port> {
  const folder = await mkdtemp(join(tmpdir(), 'holdover-directory-'));
  const path = join(folder, 'directory.json');
  await writeFile(path, text);
  const opened = await openFileDirectory({ path, log: SILENT, pollMs: 5 });
  if (!opened.ok) throw new Error(opened.mistakes.join('\n'));
  const source = opened.value;
  return {
    source,
    scope: NO_REDIS,
    async replace(next) {
      const before = source.version();
      await writeFile(`${path}.new`, next);
      await rename(`${path}.new`, path);
      while (source.version() === before) await new Promise((resolve) => setTimeout(resolve, 5));
    },
    async close() {
      source.close();
      await rm(folder, { recursive: true });
    },
  };
}

let server: RedisServer;
let loads = 0;

beforeAll(async () => {
  server = await startRedis();
});

afterAll(() => server.stop());

async function openRedis(text: string): Promise<Port> {
  const client = server.client();
  await client.flushdb();
  const replace = async (next: string) => {
    const parsed = parseDirectory(next);
    if (!parsed.ok) throw new Error(parsed.mistakes.join('\n'));
    loads += 1;
    await loadDirectory(client, parsed.value, `version-${loads}`);
  };
  await replace(text);
  return {
    source: createRedisDirectory(),
    scope: { ...NO_REDIS, redis: () => client },
    replace,
    close: async () => client.disconnect(),
  };
}

const MAPPED = '11111111-aaaa-4111-8111-111111111111';
const UNMAPPED = 'AAAAAAAA-bbbb-4ccc-8ddd-eeeeeeeeeeee';

describe.each([
  ['a file', openFile],
  ['Redis', openRedis],
])('the directory in %s', (_name, open) => {
  let port: Port;
  const record = sampleRecord({ guid: 'g', name: 'Grüße, "Ω" / 東京 🚀', managers: ['a', 'b'] });

  beforeEach(async () => {
    port = await open(
      sampleDirectory({ organizations: [record], users: { [MAPPED]: BACKEND_USER, a: OTHER_BACKEND_USER } }),
    );
  });

  afterEach(() => port.close());

  const findOrganization = async (guid: string) => (await port.source.organization(guid, port.scope)).value;
  const findUser = async (legacyUser: string) => {
    const one = (await port.source.backendUser(legacyUser, port.scope)).value;
    const { value: findAny } = await port.source.allUsers(port.scope);
    if (typeof findAny === 'function') expect(findAny(legacyUser), legacyUser).toBe(one);
    return one;
  };

  it('has the organization as it was written', async () => {
    expect(await findOrganization('g')).toEqual({
      guid: 'g',
      name: 'Grüße, "Ω" / 東京 🚀',
      createdAtSeconds: 1_416_857_557,
      updatedAtSeconds: null,
      billingEnabled: false,
      quotaDefinitionGuid: '221c8e4c-a25f-455d-9514-ee4f0252285a',
      status: 'active',
      managers: new Set(['a', 'b']),
      backend: {
        organizationId: (record['backend'] as { organization_id: string }).organization_id,
        credential: (record['backend'] as { credential: string }).credential,
      },
    });
  });

  it.each(['constructor', '__proto__', 'G', 'g ', '', '*', 'g\0', 'version'])(
    'has no organization %j',
    async (guid) => {
      expect(await findOrganization(guid)).toBeUndefined();
    },
  );

  it('has the mapped users and nobody else', async () => {
    expect(await findUser(MAPPED)).toBe(BACKEND_USER);
    for (const id of [
      'constructor',
      '__proto__',
      UNMAPPED,
      BACKEND_USER,
      BACKEND_USER.toUpperCase(),
      MAPPED.toUpperCase(),
      '',
    ]) {
      expect(await findUser(id)).toBeUndefined();
    }
  });

  it('takes unmapped UUIDs as they are where the file says so, but no value or other spelling of a mapping', async () => {
    await port.replace(sampleDirectory({ users: { [MAPPED]: BACKEND_USER }, unmapped_users: 'same' }));
    expect(await findUser(UNMAPPED)).toBe(UNMAPPED.toLowerCase());
    expect(await findUser(MAPPED)).toBe(BACKEND_USER);
    for (const id of [BACKEND_USER, BACKEND_USER.toUpperCase(), MAPPED.toUpperCase(), 'uaa-id-1', '__proto__']) {
      expect(await findUser(id)).toBeUndefined();
    }
  });

  it('is another version, whole, once it is replaced', async () => {
    const before = await port.source.describe(port.scope);
    expect(before).toEqual({ version: port.source.version(), organizations: 1, users: 2 });
    await port.replace(sampleDirectory({ organizations: [sampleRecord({ guid: 'h' }), sampleRecord()] }));
    const after = await port.source.describe(port.scope);
    expect(after).toEqual({ version: port.source.version(), organizations: 2, users: 0 });
    expect(after.version).not.toBe(before.version);
    expect(await findOrganization('g')).toBeUndefined();
    expect((await findOrganization('h'))?.guid).toBe('h');
    expect(await findUser(MAPPED)).toBeUndefined();
  });

  it('is read whole where few users are mapped, of the version that is in force', async () => {
    const before = await port.source.allUsers(port.scope);
    expect(before.version).toBe(port.source.version());
    expect(before.value).toBeTypeOf('function');
    await port.replace(sampleDirectory({ unmapped_users: 'same' }));
    const { value, version } = await port.source.allUsers(port.scope);
    expect([version === before.version, typeof value === 'function' && value(UNMAPPED)]).toEqual([
      false,
      UNMAPPED.toLowerCase(),
    ]);
  });

  it('may be empty, and then nothing is in it: that is not the same as unavailable', async () => {
    await port.replace(sampleDirectory());
    expect(await findOrganization('g')).toBeUndefined();
    expect(await findUser(MAPPED)).toBeUndefined();
  });

  it('moves an organization out and back within the time to live, as the pipeline sees it', async () => {
    let nowMs = 0;
    const cached = createDirectory({
      source: port.source,
      cacheSeconds: 60,
      monotonicMs: () => nowMs,
      log: SILENT,
      meter: NO_METER,
    });
    const outcome = async () => {
      const found = await cached.forScope(port.scope).findOrganization('g');
      return found.ok ? found.value.guid : found.failure.kind;
    };
    expect(await outcome()).toBe('g');
    await port.replace(sampleDirectory());
    nowMs += 60_000;
    expect(await outcome()).toBe('organization-unknown');
    await port.replace(sampleDirectory({ organizations: [record] }));
    nowMs += 60_000;
    expect(await outcome()).toBe('g');
  });
});

describe('a source that can be asked of nothing', () => {
  it('rejects with DirectoryUnavailable, also where the scope itself throws', async () => {
    const source = createRedisDirectory();
    await expect(source.organization('g', NO_REDIS)).rejects.toThrow(DirectoryUnavailable);
    await expect(source.backendUser('u', NO_REDIS)).rejects.toThrow(DirectoryUnavailable);
    await expect(source.allUsers(NO_REDIS)).rejects.toThrow(DirectoryUnavailable);
    await expect(source.describe(NO_REDIS)).rejects.toThrow(DirectoryUnavailable);
  });
});
