import { beforeEach, describe, expect, it } from 'vitest';
import { type CachedDirectory, createDirectory } from '../../src/directory/cache.ts';
import { MAX_STALE_MS, UNKNOWN_TTL_MS, UNUSABLE_TTL_MS } from '../../src/directory/read-through.ts';
import { parseRecord } from '../../src/directory/record.ts';
import { type DirectorySource, DirectoryUnavailable } from '../../src/directory/source.ts';
import type { FindBackendUser } from '../../src/directory/users.ts';
import type { Organization } from '../../src/policy/organization.ts';
import type { Scope } from '../../src/scope.ts';
import type { Log } from '../../src/telemetry/log.ts';
import { type Meter, NO_METER } from '../../src/telemetry/meter.ts';
import { BACKEND_USER, sampleRecord } from '../support/sample-directory.ts';

const TTL_SECONDS = 60;
const TTL_MS = TTL_SECONDS * 1000;

let nowMs: number;
let organizations: Map<string, Organization>;
let users: Map<string, string>;
let version: string;
/** What every question is answered with instead. */
let fault: Error | undefined;
/** Set where few enough users are mapped to be held. */
let few: FindBackendUser | undefined;
let isMany: boolean;
/** Keys that were asked for, in order. */
let asked: string[];
/** While set, questions wait for it. */
let held: Promise<void> | undefined;
let logged: string[];
let metered: string[];
let work: Promise<unknown>[];
let directory: CachedDirectory;

const scope: Scope = {
  waitUntil: (promise) => void work.push(promise),
  redis: () => {
    throw new Error('no Redis here');
  },
  followerWaitMs: Infinity,
};

const answer = async <Value>(key: string, map: ReadonlyMap<string, Value>) => {
  asked.push(key);
  const found = { value: map.get(key), version };
  await held;
  if (fault) throw fault;
  return found;
};

const source: DirectorySource = {
  organization: (guid) => answer(guid, organizations),
  backendUser: (legacyUser) => answer(legacyUser, users),
  allUsers: async () => {
    await held;
    if (fault) throw fault;
    return { value: few ?? 'one-by-one', version };
  },
  mapsTooMany: () => isMany,
  describe: async () => {
    await answer('', new Map());
    return { version, organizations: organizations.size, users: users.size };
  },
  version: () => version,
};

const toOrganization = (changes: Readonly<Record<string, unknown>>): Organization => {
  const parsed = parseRecord(sampleRecord(changes), []);
  if (!parsed.ok) throw new Error(parsed.mistakes.join());
  return parsed.value.organization;
};

const find = (guid: string) => directory.forScope(scope).findOrganization(guid);
const outcomeOf = async (guid: string) => {
  const found = await find(guid);
  return found.ok ? found.value.name : found.failure.kind;
};
const settle = async () => {
  while (work.length > 0) await Promise.all(work.splice(0));
};
const toGate = () => {
  let open: () => void = () => undefined;
  held = new Promise<void>((resolve) => {
    open = resolve;
  });
  return () => {
    held = undefined;
    open();
  };
};

beforeEach(() => {
  nowMs = 1_000_000;
  organizations = new Map([['g', toOrganization({ guid: 'g', name: 'first' })]]);
  users = new Map([['u', BACKEND_USER]]);
  version = '1';
  fault = undefined;
  few = undefined;
  isMany = false;
  asked = [];
  held = undefined;
  logged = [];
  metered = [];
  work = [];
  const write = (message: string) => void logged.push(message);
  const log: Log = { debug: write, info: write, warn: write, error: write };
  const meter: Meter = {
    ...NO_METER,
    cache: (name, isHit) => void metered.push(`${name} ${isHit ? 'hit' : 'miss'}`),
    stale: (name) => void metered.push(`stale ${name}`),
  };
  directory = createDirectory({ source, cacheSeconds: TTL_SECONDS, monotonicMs: () => nowMs, log, meter });
});

describe('while the source answers', () => {
  it('asks once for what many requests want at once', async () => {
    const open = toGate();
    const finds = Array.from({ length: 50 }, () => outcomeOf('g'));
    open();
    expect(new Set(await Promise.all(finds))).toEqual(new Set(['first']));
    expect(asked).toEqual(['g']);
  });

  it('serves from memory without asking, organizations and users alike', async () => {
    isMany = true;
    await outcomeOf('g');
    await directory.forScope(scope).findBackendUser('u');
    nowMs += TTL_MS / 2 - 1;
    expect(await outcomeOf('g')).toBe('first');
    expect(await directory.forScope(scope).findBackendUser('u')).toEqual({ ok: true, value: BACKEND_USER });
    expect(asked).toEqual(['g', 'u']);
    expect(metered).toEqual(['organizations miss', 'users miss', 'organizations hit', 'users hit']);
  });

  it('asks for no user whom it holds, and for the others as ever', async () => {
    const find = (user: string) => directory.forScope(scope).findBackendUser(user);
    few = (user) => (user === 'held' ? BACKEND_USER : undefined);
    users.delete('u');
    expect(await find('held')).toEqual({ ok: true, value: BACKEND_USER });
    expect(await find('u')).toEqual({ ok: false, failure: { kind: 'user-unknown', user: 'u' } });
    expect(asked).toEqual(['u']);
    users.set('u', BACKEND_USER);
    nowMs += UNKNOWN_TTL_MS;
    expect(await find('u')).toEqual({ ok: true, value: BACKEND_USER });
  });

  it('holds users no longer than anything else, and of no other version', async () => {
    const find = (user: string) => directory.forScope(scope).findBackendUser(user);
    few = () => BACKEND_USER;
    await find('held');
    few = () => undefined;
    nowMs += TTL_MS / 2 - 1;
    expect((await find('held')).ok).toBe(true);
    nowMs += TTL_MS / 2 + 1;
    expect((await find('held')).ok).toBe(false);
    few = () => BACKEND_USER;
    version = '2';
    expect((await find('held')).ok).toBe(true);
  });

  it('does not ask for all where the source knows that they are many', async () => {
    isMany = true;
    few = () => expect.unreachable();
    expect((await directory.forScope(scope).findBackendUser('u')).ok).toBe(true);
  });

  it('serves the users it holds while the source fails, and says nothing of them where it never answered', async () => {
    const find = (user: string) => directory.forScope(scope).findBackendUser(user);
    few = () => BACKEND_USER;
    fault = new DirectoryUnavailable('source', 'down');
    expect(await find('u')).toMatchObject({ ok: false, failure: { kind: 'unavailable' } });
    fault = undefined;
    expect((await find('u')).ok).toBe(true);
    fault = new DirectoryUnavailable('source', 'down');
    nowMs += TTL_MS + MAX_STALE_MS - 1;
    expect((await find('u')).ok).toBe(true);
    nowMs += 2;
    expect(await find('u')).toMatchObject({ ok: false, failure: { kind: 'unavailable' } });
  });

  it('says of nobody that he is unknown by users it holds from before the source failed', async () => {
    const find = (user: string) => directory.forScope(scope).findBackendUser(user);
    few = (user) => (user === 'held' ? BACKEND_USER : undefined);
    expect((await find('held')).ok).toBe(true);
    fault = new DirectoryUnavailable('source', 'down');
    nowMs += TTL_MS;
    expect((await find('held')).ok).toBe(true);
    expect(await find('u')).toMatchObject({ ok: false, failure: { kind: 'unavailable' } });
    expect(asked).toEqual([]);
    fault = undefined;
    nowMs += 2000;
    expect((await find('u')).ok).toBe(true);
  });

  it('refreshes behind the request from half of the time to live on, one refresh at a time', async () => {
    await outcomeOf('g');
    organizations.set('g', toOrganization({ guid: 'g', name: 'second' }));
    nowMs += TTL_MS / 2;
    const open = toGate();
    expect(await outcomeOf('g')).toBe('first');
    expect(await outcomeOf('g')).toBe('first');
    expect(asked).toEqual(['g', 'g']);
    open();
    await settle();
    expect(await outcomeOf('g')).toBe('second');
    expect(asked).toEqual(['g', 'g']);
  });

  it('never decides by what is older than the time to live', async () => {
    await outcomeOf('g');
    organizations.set('g', toOrganization({ guid: 'g', name: 'second', managers: [] }));
    nowMs += TTL_MS;
    expect(await outcomeOf('g')).toBe('second');
  });

  it('forgets an organization that was taken out, at the latest after the time to live', async () => {
    await outcomeOf('g');
    organizations.delete('g');
    nowMs += TTL_MS;
    expect(await outcomeOf('g')).toBe('organization-unknown');
  });

  it('asks anew at once where the source says that it has another version', async () => {
    await outcomeOf('g');
    expect(await outcomeOf('new')).toBe('organization-unknown');
    organizations = new Map([['new', toOrganization({ guid: 'new', name: 'added' })]]);
    version = '2';
    expect(await outcomeOf('g')).toBe('organization-unknown');
    expect(await outcomeOf('new')).toBe('added');
  });

  it('remembers what is unknown for some seconds', async () => {
    expect(await outcomeOf('x')).toBe('organization-unknown');
    organizations.set('x', toOrganization({ guid: 'x', name: 'added' }));
    nowMs += UNKNOWN_TTL_MS - 1;
    expect(await outcomeOf('x')).toBe('organization-unknown');
    nowMs += 1;
    expect(await outcomeOf('x')).toBe('added');
    expect(asked).toEqual(['x', 'x']);
  });

  it('remembers many unknown guids at once', async () => {
    for (const guid of ['x', 'y', 'z', 'x', 'y', 'z']) await outcomeOf(guid);
    expect(asked).toEqual(['x', 'y', 'z']);
  });

  it('does not let invented guids push out real ones', async () => {
    await outcomeOf('g');
    for (let index = 0; index < 20_000; index += 1) await outcomeOf(`invented-${index}`);
    asked = [];
    expect(await outcomeOf('g')).toBe('first');
    expect(asked).toEqual([]);
  });

  it('answers for a guid that no directory can hold without asking or remembering', async () => {
    expect(await outcomeOf('x'.repeat(256))).toBe('organization-unknown');
    expect(asked).toEqual([]);
  });

  it.each(['constructor', '__proto__', 'toString', 'hasOwnProperty'])(
    'does not know an organization or user %s',
    async (name) => {
      expect(await outcomeOf(name)).toBe('organization-unknown');
      expect(await directory.forScope(scope).findBackendUser(name)).toEqual({
        ok: false,
        failure: { kind: 'user-unknown', user: name },
      });
    },
  );

  it('holds a bounded number, the ones asked for last', async () => {
    for (let index = 0; index < 10_001; index += 1) {
      const guid = `many-${index}`;
      organizations.set(guid, toOrganization({ guid }));
      await outcomeOf(guid);
    }
    asked = [];
    await outcomeOf('many-10000');
    await outcomeOf('many-1');
    await outcomeOf('many-0');
    expect(asked).toEqual(['many-0']);
  });

  it('holds fewer organizations where they have thousands of managers', async () => {
    const managers = Array.from({ length: 50_000 }, (_, index) => `manager-${index}`);
    for (const guid of ['a', 'b', 'c', 'd', 'e', 'f']) {
      organizations.set(guid, toOrganization({ guid, managers }));
      await outcomeOf(guid);
    }
    asked = [];
    await outcomeOf('f');
    await outcomeOf('a');
    expect(asked).toEqual(['a']);
  });
});

describe('when the source fails', () => {
  const refused = new DirectoryUnavailable('source', 'connection refused');

  it('is unavailable for what it never loaded, not unknown', async () => {
    fault = refused;
    expect(await find('g')).toEqual({
      ok: false,
      failure: { kind: 'unavailable', dependency: 'directory', reason: 'connection refused' },
    });
  });

  it('is unavailable also after an error that nobody foresaw', async () => {
    fault = new TypeError('a bug');
    expect(await outcomeOf('g')).toBe('unavailable');
  });

  it('serves what it has for 15 minutes past the time to live, then nothing', async () => {
    await outcomeOf('g');
    fault = refused;
    nowMs += TTL_MS + MAX_STALE_MS;
    expect(await outcomeOf('g')).toBe('first');
    expect(metered.at(-1)).toBe('stale directory');
    nowMs += 1;
    expect(await outcomeOf('g')).toBe('unavailable');
  });

  it('does not call unknown what it remembers as unknown from before', async () => {
    await outcomeOf('x');
    fault = refused;
    nowMs += UNKNOWN_TTL_MS;
    expect(await outcomeOf('x')).toBe('unavailable');
  });

  it('does not bring back what it saw gone before', async () => {
    await outcomeOf('g');
    organizations.delete('g');
    nowMs += TTL_MS;
    expect(await outcomeOf('g')).toBe('organization-unknown');
    fault = refused;
    nowMs += UNKNOWN_TTL_MS;
    expect(await outcomeOf('g')).toBe('unavailable');
  });

  it('is asked no more than once a second, whoever waits', async () => {
    await outcomeOf('g');
    asked = [];
    fault = refused;
    nowMs += TTL_MS;
    for (let index = 0; index < 1000; index += 1) expect(await outcomeOf('g')).toBe('first');
    expect(asked).toHaveLength(3);
    nowMs += 1000;
    for (let index = 0; index < 1000; index += 1) expect(await outcomeOf(`cold-${index}`)).toBe('unavailable');
    expect(asked).toHaveLength(4);
  });

  it('does not repeat a failed refresh with every request', async () => {
    await outcomeOf('g');
    asked = [];
    fault = refused;
    nowMs += TTL_MS / 2;
    for (let index = 0; index < 1000; index += 1) {
      expect(await outcomeOf('g')).toBe('first');
      await settle();
    }
    expect(asked).toHaveLength(3);
  });

  it('says once that it is down and once that it is back', async () => {
    fault = refused;
    for (let index = 0; index < 10; index += 1) {
      await outcomeOf('g');
      nowMs += 1000;
    }
    expect(logged).toEqual(['directory unavailable']);
    expect(directory.status()).toEqual({
      isLoaded: false,
      version: '1',
      ageSeconds: undefined,
      failure: 'connection refused',
    });
    fault = undefined;
    expect(await outcomeOf('g')).toBe('first');
    expect(logged).toEqual(['directory unavailable', 'directory available again']);
  });

  it('does not let one unusable record make the others unavailable', async () => {
    organizations.set('h', toOrganization({ guid: 'h', name: 'other' }));
    fault = new DirectoryUnavailable('entry', 'record.name: found 7');
    for (let index = 0; index < 10; index += 1) expect(await outcomeOf('g')).toBe('unavailable');
    expect(asked).toEqual(['g']);
    expect(logged).toEqual(['directory entry not usable']);
    fault = undefined;
    expect(await outcomeOf('h')).toBe('other');
    nowMs += UNUSABLE_TTL_MS;
    expect(await outcomeOf('g')).toBe('first');
  });

  it('serves an organization whose record has just become unusable as it was', async () => {
    await outcomeOf('g');
    fault = new DirectoryUnavailable('entry', 'record.name: found 7');
    nowMs += TTL_MS;
    expect(await outcomeOf('g')).toBe('first');
    expect(await outcomeOf('g')).toBe('first');
    expect(asked).toEqual(['g', 'g']);
  });
});

describe('when loads overlap, as on Workers where a request can be cancelled', () => {
  it('does not let the load that began first bring back what the other saw gone', async () => {
    const impatient: Scope = { ...scope, followerWaitMs: 1 };
    const findNow = () => directory.forScope(impatient).findOrganization('g');
    const openFirst = toGate();
    const first = findNow();
    held = undefined;
    nowMs += 1;
    organizations.delete('g');
    expect((await findNow()).ok).toBe(false);
    openFirst();
    await first;
    expect((await findNow()).ok).toBe(false);
  });
});

describe('readiness', () => {
  it('is there once the source has answered, before any request', async () => {
    expect(directory.status().isLoaded).toBe(false);
    fault = new DirectoryUnavailable('source', 'no marker');
    await directory.warmUp(scope);
    expect(directory.status()).toMatchObject({ isLoaded: false, failure: 'no marker' });
    fault = undefined;
    await directory.warmUp(scope);
    nowMs += 2500;
    expect(directory.status()).toEqual({ isLoaded: true, version: '1', ageSeconds: 2, failure: undefined });
  });

  it('stays when the source fails later', async () => {
    await directory.warmUp(scope);
    fault = new DirectoryUnavailable('source', 'gone');
    await outcomeOf('g');
    expect(directory.status()).toMatchObject({ isLoaded: true, failure: 'gone' });
  });
});
