/** Which variable takes which kind of value, with its default. The kinds: `values.ts`; what is no plain value: `token-keys.ts`, `credentials.ts`. */
import * as v from 'valibot';
import { PROFILE_NAMES } from '../legacy/profiles.ts';
import { LOG_LEVELS } from '../telemetry/log.ts';
import type { ConfigRuntime } from './runtime.ts';
import * as values from './values.ts';
import { type DefaultedName, VARIABLES } from './variables.ts';

/** Longer than any load balancer in front waits. */
const MOST_TIMEOUT_MS = 120_000;
/** Work under `waitUntil` ends 30 s after a client has hung up (Cloudflare's limit), and with it the outcome's line. */
const MOST_TIMEOUT_MS_ON_WORKERS = 25_000;

/** By variable. `operationNames`: what ADAPT may name. */
export function createSchemas(runtime: ConfigRuntime, operationNames: readonly string[]) {
  const redis = values.redisUrls(runtime.name);
  const mostTimeoutMs = runtime.name === 'workers' ? MOST_TIMEOUT_MS_ON_WORKERS : MOST_TIMEOUT_MS;
  return {
    PORT: defaulted('PORT', values.integer(0, 65535)),
    HOST: defaulted('HOST', values.hostName),
    ADMIN_PORT: defaulted('ADMIN_PORT', values.integer(0, 65535)),
    ADMIN_HOST: defaulted('ADMIN_HOST', values.hostName),
    ADMIN_TOKEN: v.optional(values.adminToken),
    BACKEND_URL: values.baseUrl,
    BACKEND_TOKEN_URL: v.optional(values.httpUrl),
    BACKEND_TIMEOUT_MS: defaulted('BACKEND_TIMEOUT_MS', values.integer(100, mostTimeoutMs)),
    BACKEND_CONCURRENCY: defaulted('BACKEND_CONCURRENCY', values.integer(1, 10_000)),
    LEGACY_TOKEN_ISSUER: v.optional(values.text),
    LEGACY_TOKEN_AUDIENCE: defaulted('LEGACY_TOKEN_AUDIENCE', values.text),
    LEGACY_PROFILE: defaulted('LEGACY_PROFILE', values.oneOf(PROFILE_NAMES)),
    LEGACY_PROFILE_BY_CLIENT: defaulted('LEGACY_PROFILE_BY_CLIENT', values.clientRules),
    LEGACY_ORIGIN_URL: v.optional(values.originUrl),
    LEGACY_INFO: v.optional(values.info),
    ADAPT: v.optional(values.someOf(operationNames)),
    ORGANIZATIONS: values.directorySource(runtime.name),
    // 0 would be no time to live at all: a cache that never forgets.
    ORGANIZATION_CACHE_SECONDS: defaulted('ORGANIZATION_CACHE_SECONDS', values.integer(1, 86_400)),
    REDIS_URL: runtime.name === 'node' ? v.optional(redis) : redis,
    REDIS_TIMEOUT_MS: defaulted('REDIS_TIMEOUT_MS', values.integer(10, 10_000)),
    RATE_LIMIT: defaulted('RATE_LIMIT', values.quota),
    RATE_LIMIT_ORGANIZATION: defaulted('RATE_LIMIT_ORGANIZATION', values.quota),
    RATE_LIMIT_UNAUTHENTICATED: defaulted('RATE_LIMIT_UNAUTHENTICATED', values.quota),
    RATE_LIMIT_ON_FAILURE: defaulted('RATE_LIMIT_ON_FAILURE', values.oneOf(['local', 'open', 'closed'])),
    TRUSTED_PROXIES: defaulted('TRUSTED_PROXIES', values.integer(0, 32)),
    SHUTDOWN_TIMEOUT_MS: defaulted('SHUTDOWN_TIMEOUT_MS', values.integer(0, 600_000)),
    LOG_LEVEL: defaulted('LOG_LEVEL', values.oneOf(LOG_LEVELS)),
  };
}

export const DEFAULTS = Object.fromEntries(
  VARIABLES.flatMap((variable) => ('default' in variable ? [[variable.name, variable.default]] : [])),
) as Readonly<Record<DefaultedName, string>>;

function defaulted<Value>(name: DefaultedName, schema: values.ValueSchema<Value>) {
  return v.optional(schema, DEFAULTS[name]);
}
