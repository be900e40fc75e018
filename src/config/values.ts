/**
 * What each kind of value looks like, as schemas from text to the value that `Config` holds. Each schema makes one check, and
 * describes what it accepts (`v.description`): the error message is made of that. Which variable takes which kind: `config.ts`.
 */
import * as v from 'valibot';
import { type ClientRule, PROFILE_NAMES } from '../legacy/profiles.ts';
import type { Quota } from '../policy/rate-limit.ts';

export type ValueSchema<Value> = v.GenericSchema<string, Value>;

export function integer(min: number, max: number): ValueSchema<number> {
  const isInRange = (text: string) => /^\d{1,10}$/.test(text) && Number(text) >= min && Number(text) <= max;
  return v.pipe(
    v.string(),
    v.check(isInRange),
    v.transform(Number),
    v.description(`a whole number from ${min} to ${max}`),
  );
}

export function oneOf<const Name extends string>(names: readonly Name[]): ValueSchema<Name> {
  return v.pipe(v.string(), v.picklist(names), v.description(names.join(', ')));
}

/** Comma-separated `names`, each once. */
export function someOf(names: readonly string[]): ValueSchema<readonly string[]> {
  return v.pipe(
    v.string(),
    v.transform((text) => [...new Set(text.split(',').map((name) => name.trim()))]),
    v.check((found) => found.every((name) => names.includes(name))),
    v.description(`one or more of ${names.join(', ')}, separated by commas`),
  );
}

export const text: ValueSchema<string> = v.pipe(v.string(), v.nonEmpty(), v.description('any text'));

export const hostName: ValueSchema<string> = v.pipe(
  v.string(),
  v.regex(/^[A-Za-z0-9._:%-]+$/),
  v.description('an IP address or a host name'),
);

/** What a client can send in an Authorization header, and nobody can guess. */
export const adminToken: ValueSchema<string> = v.pipe(
  v.string(),
  v.regex(/^[\x21-\x7e]{16,}$/),
  v.description('at least 16 visible ASCII characters, no spaces'),
);

/** https, or http to this machine; nothing in it that would be sent along, logged or lost. */
export const httpUrl: ValueSchema<string> = v.pipe(
  v.string(),
  v.check(isHttpUrl),
  v.transform((found) => new URL(found).href),
  v.description('an https URL (http only to 127.0.0.0/8, ::1 or localhost) without userinfo, query and fragment'),
);

/** A URL that paths are appended to: without its trailing slashes. */
export const baseUrl: ValueSchema<string> = v.pipe(
  v.string(),
  v.check(isHttpUrl),
  v.transform((found) => new URL(found).href.replace(/\/+$/, '')),
  v.description('an https URL (http only to 127.0.0.0/8, ::1 or localhost) without userinfo, query and fragment'),
);

/** The client's path goes there byte for byte, so the URL has none of its own. */
export const originUrl: ValueSchema<string> = v.pipe(
  v.string(),
  v.check((found) => isHttpUrl(found) && new URL(found).pathname === '/'),
  v.transform((found) => new URL(found).origin),
  v.description('an https URL (http only to 127.0.0.0/8, ::1 or localhost) of scheme, host and port only'),
);

function isHttpUrl(found: string): boolean {
  if (!URL.canParse(found)) return false;
  const { protocol, hostname, username, password } = new URL(found);
  // `https://host/?` has an empty query, and would still take a path appended to it for one.
  if (username !== '' || password !== '' || /[?#]/.test(found)) return false;
  return protocol === 'https:' || (protocol === 'http:' && isLoopback(hostname));
}

/** `hostname` as URL gives it: IPv4 in four decimal parts, however it was written. */
function isLoopback(hostname: string): boolean {
  return hostname === 'localhost' || hostname === '[::1]' || /^127\.\d+\.\d+\.\d+$/.test(hostname);
}

/** The node's URL, or those of a Cluster's nodes. */
export function redisUrls(runtime: 'node' | 'workers'): ValueSchema<readonly string[]> {
  const form = 'redis:// or rediss:// [USER:PASSWORD@]HOST[:PORT][/DATABASE]';
  return v.pipe(
    v.string(),
    // Not at every comma: a password may hold one.
    v.transform((found) => found.split(/,(?=\s*rediss?:)/).map((url) => url.trim())),
    v.check((urls) => urls.every(isRedisUrl) && (urls.length === 1 || (runtime === 'node' && isCluster(urls)))),
    v.description(
      runtime === 'workers'
        ? `${form}; one only: Redis Cluster needs Node`
        : `${form}; or the nodes of a Cluster, separated by commas, alike but for host and port, without DATABASE`,
    ),
  );
}

function isRedisUrl(found: string): boolean {
  if (!URL.canParse(found) || /[?#]/.test(found)) return false;
  const { protocol, hostname, pathname } = new URL(found);
  return /^rediss?:$/.test(protocol) && hostname !== '' && /^(?:\/\d{0,4})?$/.test(pathname);
}

function isCluster(urls: readonly string[]): boolean {
  const shared = urls.map((url) => {
    const { protocol, username, password, pathname } = new URL(url);
    return JSON.stringify([protocol, username, password, pathname.replace('/', '')]);
  });
  return shared.every((one) => one === shared[0]) && shared[0]?.endsWith(',""]') === true;
}

/** More would be less than a microsecond apiece, the limiter's unit, at the shortest period. */
const QUOTA_MAX = 1_000_000;

const SECONDS = { s: 1, m: 60, h: 3600 } as const;

const PERIOD_MAX_SECONDS = 24 * 3600;

/** `undefined` for `off`. */
export const quota: ValueSchema<Quota | undefined> = v.pipe(
  v.string(),
  v.check((found) => found === 'off' || toQuota(found) !== undefined),
  v.transform(toQuota),
  v.description(`N/<count><s, m or h>, N from 1 to ${QUOTA_MAX}, the period from 1s to 24h, e.g. 2000/1h; or off`),
);

function toQuota(found: string): Quota | undefined {
  const [, n, count, unit] = /^(\d{1,7})\/(\d{1,5})([smh])$/.exec(found) ?? [];
  const limit = Number(n);
  const periodSeconds = Number(count) * SECONDS[unit as keyof typeof SECONDS];
  const isInRange = limit >= 1 && limit <= QUOTA_MAX && periodSeconds >= 1 && periodSeconds <= PERIOD_MAX_SECONDS;
  return isInRange ? { limit, periodSeconds } : undefined;
}

const profile = v.picklist(PROFILE_NAMES);

const matched = v.pipe(v.string(), v.nonEmpty());

export const clientRules: ValueSchema<readonly ClientRule[]> = v.pipe(
  v.string(),
  v.parseJson(),
  v.array(
    v.union([
      v.pipe(
        v.strictObject({ user_agent: matched, profile }),
        v.transform((rule): ClientRule => ({ userAgentPrefix: rule.user_agent, profile: rule.profile })),
      ),
      v.pipe(
        v.strictObject({ client_id: matched, profile }),
        v.transform((rule): ClientRule => ({ clientId: rule.client_id, profile: rule.profile })),
      ),
    ]),
  ),
  v.description(
    `JSON [{"user_agent": PREFIX or "client_id": ID, "profile": NAME}, …] with NAME one of ${PROFILE_NAMES.join(', ')}`,
  ),
);

/** What clients look for before they do anything else (legacy.md, section 8). An empty `api_version` says that v2 is off. */
const DISCOVERY = v.looseObject({
  authorization_endpoint: v.string(),
  token_endpoint: v.string(),
  api_version: v.string(),
});

/** The answer of `/v2/info`, compact. */
export const info: ValueSchema<string> = v.pipe(
  v.string(),
  v.parseJson(),
  v.check((found) => v.is(DISCOVERY, found)),
  v.transform((found) => JSON.stringify(found)),
  v.description('a JSON object with at least the texts authorization_endpoint, token_endpoint and api_version'),
);

/** Where the directory comes from. There are no files on Workers. */
export function directorySource(
  runtime: 'node' | 'workers',
): ValueSchema<{ kind: 'file'; path: string } | { kind: 'redis' }> {
  return v.pipe(
    v.string(),
    v.regex(runtime === 'node' ? /^(?:file:.+|redis)$/ : /^redis$/),
    v.transform((found) =>
      found === 'redis' ? { kind: 'redis' as const } : { kind: 'file' as const, path: found.slice('file:'.length) },
    ),
    v.description(runtime === 'node' ? 'file:PATH or redis' : 'redis: Workers have no files'),
  );
}
