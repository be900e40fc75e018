/**
 * The directory in Redis: how it lies there, and how it is read, in one round trip a look-up. How it gets there:
 * `load-directory.ts`. A marker names the version in force; its hashes have the version in their names, and all keys one
 * hash tag, so that a script can read marker and record of one version together, on a Cluster too.
 */
import * as v from 'valibot';
import { parseRecord } from '../directory/record.ts';
import { type DirectorySource, DirectoryUnavailable } from '../directory/source.ts';
import { createFindBackendUser, decideBackendUser, isUuid } from '../directory/users.ts';
import type { Scope } from '../scope.ts';

export const DIRECTORY_PREFIX = 'holdover:directory:{1}:';

export const MARKER_KEY = `${DIRECTORY_PREFIX}marker`;

/** The keys of one version. */
export function toDirectoryKeys(version: string): DirectoryKeys {
  const toKey = (part: string) => `${DIRECTORY_PREFIX}${version}:${part}`;
  return { organizations: toKey('organizations'), users: toKey('users'), reserved: toKey('reserved') };
}

export interface DirectoryKeys {
  /** Hash: record JSON by guid. */
  readonly organizations: string;
  /** Hash: backend id by legacy id. */
  readonly users: string;
  /** Set: `toReservedIds` of `directory/users.ts`. */
  readonly reserved: string;
}

export const DIRECTORY_PARTS = ['organizations', 'users', 'reserved'] as const satisfies (keyof DirectoryKeys)[];

/** What the marker says: which version is in force, and how much of it there must be. */
export type Marker = v.InferOutput<typeof marker>;

const count = v.pipe(v.number(), v.safeInteger(), v.minValue(0));

const marker = v.object({
  version: v.pipe(v.string(), v.nonEmpty()),
  unmapped_users: v.picklist(['refuse', 'same']),
  organizations: count,
  users: count,
  reserved: count,
});

/** A Redis that answers nothing, has no marker, or lost a part of what the marker counts is unavailable, never "not found". */
export function createRedisDirectory(): DirectorySource {
  let lastSaid: Marker | undefined;

  const ask = async <Reply>(
    scope: Scope,
    script: string,
    schema: v.GenericSchema<unknown, Reply>,
    ...args: (string | number)[]
  ) => {
    let reply: unknown;
    try {
      // The whole script, not its hash: one round trip also where the server has just started. Misses are rare.
      reply = await scope.redis().eval(script, 1, MARKER_KEY, ...args);
    } catch (error) {
      throw new DirectoryUnavailable('source', error instanceof Error ? error.message : String(error));
    }
    if (reply === null) throw new DirectoryUnavailable('source', 'Redis holds no directory: no marker');
    const parsed = v.safeParse(v.tuple([markerJson, schema]), reply);
    if (!parsed.success) throw new DirectoryUnavailable('source', 'Redis holds what no load of a directory writes');
    const [said, found] = parsed.output;
    lastSaid = said;
    return { said, found };
  };

  return {
    async organization(guid, scope) {
      const { said, found } = await ask(scope, FIND_ORGANIZATION, organizationReply, guid);
      const [json, held] = found;
      if (json !== null) return { value: parseOrganization(json, guid), version: said.version };
      if (held !== said.organizations) throw incomplete('organizations', held, said.organizations);
      return { value: undefined, version: said.version };
    },
    async backendUser(legacyUser, scope) {
      const args = [legacyUser, legacyUser.toLowerCase()];
      const { said, found } = await ask(scope, FIND_USER, userReply, ...args);
      const [mapped, held, isReserved, heldReserved] = found;
      if (mapped === null && held !== said.users) throw incomplete('users', held, said.users);
      if (mapped === null && heldReserved !== said.reserved) throw incomplete('reserved', heldReserved, said.reserved);
      if (mapped !== null && !isUuid(mapped)) throw new DirectoryUnavailable('entry', 'not mapped to a UUID');
      const value = decideBackendUser({
        legacyUser,
        mapped: mapped?.toLowerCase(),
        unmappedUsers: said.unmapped_users,
        isReserved: isReserved !== 0,
      });
      return { value, version: said.version };
    },
    async allUsers(scope) {
      const { said, found } = await ask(scope, FIND_ALL_USERS, allUsersReply, MAX_HELD_USERS);
      const [fields, reserved] = found;
      const users = fields && toUsers(fields);
      const isWhole = users?.size === said.users && reserved?.length === said.reserved;
      // Where a part is lost or unusable, `backendUser` says for each user whether that matters.
      if (!isWhole) return { value: 'one-by-one', version: said.version };
      return { value: createFindBackendUser(users, new Set(reserved), said.unmapped_users), version: said.version };
    },
    async describe(scope) {
      const { said, found } = await ask(scope, COUNT, countReply);
      for (const [index, part] of DIRECTORY_PARTS.entries()) {
        if (found[index] !== said[part]) throw incomplete(part, found[index], said[part]);
      }
      return { version: said.version, organizations: said.organizations, users: said.users };
    },
    version: () => lastSaid?.version,
    mapsTooMany: () => lastSaid !== undefined && lastSaid.users > MAX_HELD_USERS,
  };
}

/** Undefined where `json` is no marker. */
export function parseMarker(json: string | null): Marker | undefined {
  const parsed = v.safeParse(markerJson, json);
  return parsed.success ? parsed.output : undefined;
}

const markerJson = v.pipe(v.string(), v.parseJson(), marker);
const text = v.nullable(v.string());
const organizationReply = v.tuple([text, v.number()]);
const userReply = v.tuple([text, v.number(), v.number(), v.number()]);
const texts = v.nullable(v.array(v.string()));
const allUsersReply = v.tuple([texts, texts]);
const countReply = v.tuple([v.number(), v.number(), v.number()]);

/** The key of a part of the version in force. Its name is not among the script's keys, but its slot is the marker's. */
const toKey = (part: string) => `'${DIRECTORY_PREFIX}' .. cjson.decode(marker).version .. ':${part}'`;

const toScript = (found: string) => `
local marker = redis.call('GET', KEYS[1])
if not marker then return false end
local organizations, users, reserved = ${DIRECTORY_PARTS.map(toKey).join(', ')}
return {marker, {${found}}}
`;

const FIND_ORGANIZATION = toScript(`redis.call('HGET', organizations, ARGV[1]), redis.call('HLEN', organizations)`);

const FIND_USER = toScript(`redis.call('HGET', users, ARGV[1]), redis.call('HLEN', users),
  redis.call('SISMEMBER', reserved, ARGV[2]), redis.call('SCARD', reserved)`);

/** Some 100 KB to be read by each process or isolate once in half a time to live. */
const MAX_HELD_USERS = 1000;

/** ARGV: the most users that are answered whole. Each of them may reserve two ids. */
const IS_FEW = `redis.call('HLEN', users) <= tonumber(ARGV[1]) and redis.call('SCARD', reserved) <= 2 * tonumber(ARGV[1])`;
const FIND_ALL_USERS = toScript(`${IS_FEW} and redis.call('HGETALL', users),
  ${IS_FEW} and redis.call('SMEMBERS', reserved)`);

const COUNT = toScript(`redis.call('HLEN', organizations), redis.call('HLEN', users), redis.call('SCARD', reserved)`);

/** From fields and values in turn; undefined where one is no UUID. */
function toUsers(fields: readonly string[]): Map<string, string> | undefined {
  const users = new Map<string, string>();
  for (let at = 0; at < fields.length; at += 2) {
    const backendUser = fields[at + 1] as string;
    if (!isUuid(backendUser)) return undefined;
    users.set(fields[at] as string, backendUser.toLowerCase());
  }
  return users;
}

/** Validated again: who can write to this Redis is not only `load`. */
function parseOrganization(json: string, guid: string) {
  let input: unknown;
  try {
    input = JSON.parse(json);
  } catch {
    throw new DirectoryUnavailable('entry', 'the record is not JSON');
  }
  const parsed = parseRecord(input, ['record']);
  if (!parsed.ok) throw new DirectoryUnavailable('entry', parsed.mistakes.join('; '));
  const { organization } = parsed.value;
  // The guid selects the credential: a record under a stranger's guid would remove people from a stranger's organization.
  if (organization.guid !== guid) throw new DirectoryUnavailable('entry', 'the record is of another guid');
  return organization;
}

/** An evicted or half-deleted part must not look like deleted organizations, nor like users who were never mapped. */
function incomplete(part: string, held: number | undefined, expected: number): DirectoryUnavailable {
  return new DirectoryUnavailable(
    'source',
    `Redis lost a part of the directory: ${held} of ${expected} ${part} are left`,
  );
}
