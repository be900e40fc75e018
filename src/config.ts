/**
 * Every variable at once, from text to a typed Config, or one error that lists every mistake (decisions.md, section 10). The
 * names, meanings and defaults: `config/variables.ts`. What a value may look like: `config/schemas.ts`, `config/values.ts`.
 * Reads no environment and no file by itself: both are handed in.
 */
import * as v from 'valibot';
import { checkTogether, warnOfUseless } from './config/checks.ts';
import { type CredentialSource, parseCredentials } from './config/credentials.ts';
import { toMistake } from './config/mistake.ts';
import { warnOfNearMisses } from './config/near-misses.ts';
import type { ConfigRuntime } from './config/runtime.ts';
import { createSchemas } from './config/schemas.ts';
import { parseTokenKeys, type TokenKeys } from './config/token-keys.ts';
import { CREDENTIAL_PREFIX, findVariable } from './config/variables.ts';
import type { ClientRule, ProfileName } from './legacy/profiles.ts';
import type { Quota } from './policy/rate-limit.ts';
import type { LogLevel } from './telemetry/log.ts';

export interface Config {
  readonly listen: { readonly port: number; readonly host: string };
  readonly admin: { readonly port: number; readonly host: string; readonly token: string | undefined };
  readonly backend: {
    /** Without a slash at its end. */
    readonly url: string;
    readonly tokenUrl: string | undefined;
    readonly credentials: CredentialSource;
    readonly timeoutMs: number;
    readonly concurrency: number;
  };
  readonly legacyToken: {
    readonly keys: TokenKeys;
    readonly issuer: string | undefined;
    readonly audience: string;
  };
  readonly profile: ProfileName;
  readonly clientRules: readonly ClientRule[];
  /** Scheme, host and port: no path, no slash at its end. */
  readonly originUrl: string | undefined;
  /** LEGACY_INFO, checked and compact. */
  readonly info: string | undefined;
  /** Names of the adapted operations. */
  readonly adapt: readonly string[];
  readonly organizations: { readonly kind: 'file'; readonly path: string } | { readonly kind: 'redis' };
  readonly organizationCacheSeconds: number;
  /** Several URLs are the nodes of a Cluster. */
  readonly redis: { readonly urls: readonly string[]; readonly timeoutMs: number } | undefined;
  readonly rateLimit: {
    readonly caller: Quota | undefined;
    readonly organization: Quota | undefined;
    readonly address: Quota | undefined;
    readonly onFailure: 'local' | 'open' | 'closed';
  };
  readonly trustedProxies: number;
  readonly shutdownTimeoutMs: number;
  readonly logLevel: LogLevel;
}

/** Each line names its variable. No line holds a secret, or a URL with userinfo or query. */
export type ConfigParse =
  | { readonly ok: true; readonly config: Config; readonly warnings: readonly string[] }
  | { readonly ok: false; readonly mistakes: readonly string[]; readonly warnings: readonly string[] };

/**
 * `env` as the runtime gives it: on Workers a variable can be a number or an object too. `operationNames`: what ADAPT may
 * name. Never throws.
 */
export function parseConfig(
  env: Readonly<Record<string, unknown>>,
  runtime: ConfigRuntime,
  operationNames: readonly string[],
): ConfigParse {
  const texts = readTexts(env, runtime);
  const schemas = createSchemas(runtime, operationNames);
  const plain = v.safeParse(v.object(schemas), Object.fromEntries(texts));
  const tokenKeys = parseTokenKeys(texts, runtime);
  const credentials = parseCredentials(texts, runtime);
  const warnings = [...warnOfNearMisses(Object.keys(env)), ...warnOfUseless(env, runtime, texts)];
  const mistakes = [
    ...(plain.issues ?? []).map((issue) => toSchemaMistake(issue, schemas, texts)),
    ...tokenKeys.mistakes,
    ...credentials.mistakes,
    ...checkTogether(texts, runtime, credentials.needsTokenUrl),
  ];
  if (!plain.success || !tokenKeys.keys || !credentials.credentials || mistakes.length > 0) {
    return { ok: false, mistakes, warnings };
  }
  const found = plain.output;
  const config: Config = {
    listen: { port: found.PORT, host: found.HOST },
    admin: { port: found.ADMIN_PORT, host: found.ADMIN_HOST, token: found.ADMIN_TOKEN },
    backend: {
      url: found.BACKEND_URL,
      tokenUrl: found.BACKEND_TOKEN_URL,
      credentials: credentials.credentials,
      timeoutMs: found.BACKEND_TIMEOUT_MS,
      concurrency: found.BACKEND_CONCURRENCY,
    },
    legacyToken: {
      keys: tokenKeys.keys,
      issuer: found.LEGACY_TOKEN_ISSUER,
      audience: found.LEGACY_TOKEN_AUDIENCE,
    },
    profile: found.LEGACY_PROFILE,
    clientRules: found.LEGACY_PROFILE_BY_CLIENT,
    originUrl: found.LEGACY_ORIGIN_URL,
    info: found.LEGACY_INFO,
    adapt: found.ADAPT ?? operationNames,
    organizations: found.ORGANIZATIONS,
    organizationCacheSeconds: found.ORGANIZATION_CACHE_SECONDS,
    redis: found.REDIS_URL && { urls: found.REDIS_URL, timeoutMs: found.REDIS_TIMEOUT_MS },
    rateLimit: {
      caller: found.RATE_LIMIT,
      organization: found.RATE_LIMIT_ORGANIZATION,
      address: found.RATE_LIMIT_UNAUTHENTICATED,
      onFailure: found.RATE_LIMIT_ON_FAILURE,
    },
    trustedProxies: found.TRUSTED_PROXIES,
    shutdownTimeoutMs: found.SHUTDOWN_TIMEOUT_MS,
    logLevel: found.LOG_LEVEL,
  };
  return { ok: true, config, warnings };
}

/** The variables that are set and mean something on this runtime. An empty one is not set. */
function readTexts(env: Readonly<Record<string, unknown>>, runtime: ConfigRuntime): ReadonlyMap<string, string> {
  const texts = new Map<string, string>();
  for (const [name, value] of Object.entries(env)) {
    const isSeparate = name.startsWith(CREDENTIAL_PREFIX) && name !== CREDENTIAL_PREFIX;
    const known = isSeparate ? 'workers' : findVariable(name)?.runtime;
    if (known !== 'both' && known !== runtime.name) continue;
    if (value === undefined || value === null || value === '') continue;
    // wrangler.toml: `PORT = 8080` arrives as a number, a table as an object.
    texts.set(name, typeof value === 'string' ? value : JSON.stringify(value));
  }
  return texts;
}

function toSchemaMistake(
  issue: v.BaseIssue<unknown>,
  schemas: ReturnType<typeof createSchemas>,
  texts: ReadonlyMap<string, string>,
): string {
  const [top, ...path] = issue.path ?? [];
  const name = `${top?.key}` as keyof typeof schemas;
  const schema = schemas[name];
  const inner = path.length === 0 ? undefined : (path as [v.IssuePathItem, ...v.IssuePathItem[]]);
  return toMistake(name, texts.get(name), { ...issue, path: inner }, 'wrapped' in schema ? schema.wrapped : schema);
}
