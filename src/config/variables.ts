/**
 * Every variable an operator can set (decisions.md, section 10), as data: `config.ts` takes names and defaults from here, and a
 * test keeps the table of the README equal. What a value must look like: `values.ts`, `token-keys.ts`, `credentials.ts`.
 */
export interface Variable {
  readonly name: string;
  readonly meaning: string;
  /** What an unset or empty variable means, in the same syntax as a set one. */
  readonly default?: string;
  /** Without a `default`: what it means that the variable is not set. */
  readonly unset?: string;
  readonly runtime: 'both' | 'node' | 'workers';
  /** How much of a wrong value an error may show. A URL is shown without userinfo, query and fragment. */
  readonly shows: 'value' | 'url' | 'nothing';
}

export const VARIABLES = [
  { name: 'PORT', meaning: 'port of the listener', default: '8080', runtime: 'node', shows: 'value' },
  { name: 'HOST', meaning: 'address of the listener', default: '0.0.0.0', runtime: 'node', shows: 'value' },
  {
    name: 'ADMIN_PORT',
    meaning: 'port of the admin listener: `/healthz`, `/readyz`, `/metrics`',
    default: '9090',
    runtime: 'node',
    shows: 'value',
  },
  {
    name: 'ADMIN_HOST',
    meaning: 'address of the admin listener',
    default: '127.0.0.1',
    runtime: 'node',
    shows: 'value',
  },
  {
    name: 'ADMIN_TOKEN',
    meaning:
      '`/healthz` and `/readyz` under `/_holdover/`, for callers with `Authorization: Bearer` and this token; at least 16 characters',
    unset: 'off',
    runtime: 'workers',
    shows: 'nothing',
  },
  {
    name: 'BACKEND_URL',
    meaning: 'base URL of the backend, e.g. `https://api.aerospike.com/v1`',
    unset: 'required',
    runtime: 'both',
    shows: 'url',
  },
  {
    name: 'BACKEND_TOKEN_URL',
    meaning: "the backend's token endpoint for client credentials",
    unset: 'required where a credential has a `client_id`',
    runtime: 'both',
    shows: 'url',
  },
  {
    name: 'BACKEND_CREDENTIALS',
    meaning:
      'JSON `{NAME: {"client_id": ID, "client_secret": SECRET} or {"token": TOKEN}, …}`, or on Node `file:PATH`, which is read again when it changes',
    unset: 'required',
    runtime: 'both',
    shows: 'nothing',
  },
  {
    name: 'BACKEND_CREDENTIAL_<NAME>',
    meaning:
      'one credential of that JSON by itself. It serves every record whose `credential`, in upper case and with `_` for what is neither letter nor digit, is NAME',
    unset: 'none',
    runtime: 'workers',
    shows: 'nothing',
  },
  {
    name: 'BACKEND_TIMEOUT_MS',
    meaning: 'deadline for everything one removal asks of the backend',
    default: '5000',
    runtime: 'both',
    shows: 'value',
  },
  {
    name: 'BACKEND_CONCURRENCY',
    meaning: 'most backend calls in flight, per process or isolate',
    default: '256',
    runtime: 'both',
    shows: 'value',
  },
  {
    name: 'LEGACY_TOKEN_SECRET',
    meaning: "the legacy tokens' HMAC secret, at least 32 bytes",
    unset: 'exactly one of the three is required',
    runtime: 'both',
    shows: 'nothing',
  },
  {
    name: 'LEGACY_TOKEN_PUBLIC_KEY',
    meaning:
      "the legacy tokens' public key as PEM, with real line ends or `\\n`, or on Node `file:PATH`; several may stand together for rotation",
    unset: 'exactly one of the three is required',
    runtime: 'both',
    shows: 'nothing',
  },
  {
    name: 'LEGACY_TOKEN_KEYS_URL',
    meaning: "URL of the legacy tokens' key set, e.g. the UAA's `/token_keys`",
    unset: 'exactly one of the three is required',
    runtime: 'both',
    shows: 'url',
  },
  {
    name: 'LEGACY_TOKEN_ISSUER',
    meaning: 'what `iss` of a legacy token must be',
    unset: 'not checked',
    runtime: 'both',
    shows: 'value',
  },
  {
    name: 'LEGACY_TOKEN_AUDIENCE',
    meaning: 'what `aud` of a legacy token must hold',
    default: 'cloud_controller',
    runtime: 'both',
    shows: 'value',
  },
  {
    name: 'LEGACY_PROFILE',
    meaning: 'era of the legacy contract: access rules, and the shape of answers',
    default: '2014-12',
    runtime: 'both',
    shows: 'value',
  },
  {
    name: 'LEGACY_PROFILE_BY_CLIENT',
    meaning:
      'shape of answers by client, first match: JSON `[{"user_agent": PREFIX or "client_id": ID, "profile": NAME}, …]`',
    default: '[]',
    runtime: 'both',
    shows: 'value',
  },
  {
    name: 'LEGACY_ORIGIN_URL',
    meaning: 'the old server, for everything that is not adapted or has not moved',
    unset: 'none: 404',
    runtime: 'both',
    shows: 'url',
  },
  {
    name: 'LEGACY_INFO',
    meaning:
      'JSON answered at `/v2/info` where there is no origin, with at least `authorization_endpoint`, `token_endpoint` and `api_version`',
    unset: 'none: 404',
    runtime: 'both',
    shows: 'nothing',
  },
  {
    name: 'ADAPT',
    meaning:
      'comma-separated operations that are adapted, of `remove-org-user` and `get-organization`; others go to the origin',
    unset: 'all',
    runtime: 'both',
    shows: 'value',
  },
  {
    name: 'ORGANIZATIONS',
    meaning: 'source of the directory: `file:PATH` (Node only) or `redis`',
    unset: 'required',
    runtime: 'both',
    shows: 'value',
  },
  {
    name: 'ORGANIZATION_CACHE_SECONDS',
    meaning: 'how long a record of the directory is fresh',
    default: '60',
    runtime: 'both',
    shows: 'value',
  },
  {
    name: 'REDIS_URL',
    meaning: '`redis://` or `rediss://`; comma-separated nodes are a Cluster (Node only)',
    unset: 'limits in process, on Node; required on Workers',
    runtime: 'both',
    shows: 'url',
  },
  {
    name: 'REDIS_TIMEOUT_MS',
    meaning: 'longest wait for one command',
    default: '300',
    runtime: 'both',
    shows: 'value',
  },
  {
    name: 'RATE_LIMIT',
    meaning: 'limit of a caller: `N/<count><s, m or h>`, or `off`',
    default: '2000/1h',
    runtime: 'both',
    shows: 'value',
  },
  {
    name: 'RATE_LIMIT_ORGANIZATION',
    meaning: 'limit of an organization',
    default: 'off',
    runtime: 'both',
    shows: 'value',
  },
  {
    name: 'RATE_LIMIT_UNAUTHENTICATED',
    meaning: 'limit of a client address without a valid token',
    default: '100/1h',
    runtime: 'both',
    shows: 'value',
  },
  {
    name: 'RATE_LIMIT_ON_FAILURE',
    meaning: 'who decides limits while Redis does not answer: `local` (the process), `open` (all pass), `closed` (503)',
    default: 'local',
    runtime: 'both',
    shows: 'value',
  },
  {
    name: 'TRUSTED_PROXIES',
    meaning: 'proxies in front: the client is that many addresses from the right of `X-Forwarded-For`',
    default: '0',
    runtime: 'both',
    shows: 'value',
  },
  {
    name: 'SHUTDOWN_TIMEOUT_MS',
    meaning: 'longest drain after SIGTERM; a second SIGTERM changes nothing',
    default: '10000',
    runtime: 'node',
    shows: 'value',
  },
  {
    name: 'LOG_LEVEL',
    meaning: 'least level of the operational log; the audit lines are always written',
    default: 'info',
    runtime: 'both',
    shows: 'value',
  },
] as const satisfies readonly Variable[];

export type DefaultedName = Extract<(typeof VARIABLES)[number], { default: string }>['name'];

/** One secret for each credential, on Workers, where a variable holds 5 KB at most. */
export const CREDENTIAL_PREFIX = 'BACKEND_CREDENTIAL_';

const BY_NAME: ReadonlyMap<string, Variable> = new Map(VARIABLES.map((variable) => [variable.name, variable]));

export function findVariable(name: string): Variable | undefined {
  return BY_NAME.get(name);
}
