/** Configuration: defaults, every wrong value with its line, all lines at once, and no secret in any. What keys are worth: keys.test.ts. */
import { describe, expect, it } from 'vitest';
import type { ConfigRuntime } from '../../src/config/runtime.ts';
import { VARIABLES } from '../../src/config/variables.ts';
import { type Config, parseConfig } from '../../src/config.ts';
import { createEcKey, createRsaKey } from '../support/tokens.ts';

/** Two public keys that are fit, as PEM. */
const KEYS = [createRsaKey().pem, createEcKey().pem];

/** Nothing secret may show any of this. */
const CANARY = 'canary-4f1e9b';

const SECRET = `${CANARY}-of-at-least-thirty-two-bytes`;

const FILES: Record<string, string> = {
  '/run/credentials.json': '\uFEFF{"acme": {"client_id": "id", "client_secret": "s"}}',
  '/run/broken.json': `{"acme": {"token": "${CANARY}}`,
  '/run/keys.pem': KEYS.join(''),
};

const NODE: ConfigRuntime = {
  name: 'node',
  readFile(path) {
    const text = FILES[path];
    if (text === undefined) throw Object.assign(new Error(`no such file: ${path}`), { code: 'ENOENT' });
    return text;
  },
};

const WORKERS: ConfigRuntime = { name: 'workers' };

const OPERATIONS = ['remove-org-user', 'get-organization'];

const REQUIRED = {
  BACKEND_URL: 'https://api.aerospike.com/v1',
  BACKEND_CREDENTIALS: JSON.stringify({ acme: { token: CANARY } }),
  LEGACY_TOKEN_SECRET: SECRET,
  ORGANIZATIONS: 'file:/run/organizations.json',
};

const REQUIRED_ON_WORKERS = { ...REQUIRED, ORGANIZATIONS: 'redis', REDIS_URL: 'rediss://redis.example:6380' };

type Env = Record<string, unknown>;

function toPem(name: string, label = 'PUBLIC KEY'): string {
  return `-----BEGIN ${label}-----\n${Buffer.from(name).toString('base64')}\n-----END ${label}-----\n`;
}

function parseOnNode(env: Env) {
  return parseConfig({ ...REQUIRED, ...env }, NODE, OPERATIONS);
}

function parseOnWorkers(env: Env) {
  return parseConfig({ ...REQUIRED_ON_WORKERS, ...env }, WORKERS, OPERATIONS);
}

function configOf(parse: ReturnType<typeof parseConfig>): Config {
  if (!parse.ok) throw new Error(parse.mistakes.join('\n'));
  return parse.config;
}

function mistakesOf(parse: ReturnType<typeof parseConfig>): readonly string[] {
  return parse.ok ? [] : parse.mistakes;
}

describe('what is not set', () => {
  it('takes its default, and an empty value counts as not set', () => {
    const empty = Object.fromEntries(VARIABLES.filter(({ name }) => !(name in REQUIRED)).map(({ name }) => [name, '']));
    for (const env of [{}, empty]) {
      expect(configOf(parseOnNode(env))).toEqual({
        listen: { port: 8080, host: '0.0.0.0' },
        admin: { port: 9090, host: '127.0.0.1', token: undefined },
        backend: {
          url: 'https://api.aerospike.com/v1',
          tokenUrl: undefined,
          credentials: { kind: 'list', list: new Map([['acme', { kind: 'token', token: CANARY }]]) },
          timeoutMs: 5000,
          concurrency: 256,
        },
        legacyToken: {
          keys: { kind: 'secret', secret: new TextEncoder().encode(SECRET) },
          issuer: undefined,
          audience: 'cloud_controller',
        },
        profile: '2014-12',
        clientRules: [],
        originUrl: undefined,
        info: undefined,
        adapt: OPERATIONS,
        organizations: { kind: 'file', path: '/run/organizations.json' },
        organizationCacheSeconds: 60,
        redis: undefined,
        rateLimit: {
          caller: { limit: 2000, periodSeconds: 3600 },
          organization: undefined,
          address: { limit: 100, periodSeconds: 3600 },
          onFailure: 'local',
        },
        trustedProxies: 0,
        shutdownTimeoutMs: 10_000,
        logLevel: 'info',
      });
    }
  });

  it('is said for every required variable at once', () => {
    expect(mistakesOf(parseConfig({}, NODE, OPERATIONS)).map((line) => line.replace(/; accepted: .*/, ''))).toEqual([
      'BACKEND_URL: not set',
      'ORGANIZATIONS: not set',
      'LEGACY_TOKEN_SECRET, LEGACY_TOKEN_PUBLIC_KEY, LEGACY_TOKEN_KEYS_URL: none is set',
      'BACKEND_CREDENTIALS: not set',
    ]);
    expect(mistakesOf(parseConfig({}, WORKERS, OPERATIONS)).join('\n')).toMatch(
      /^REDIS_URL: not set; accepted: redis/m,
    );
  });

  it('is a warning for REDIS_URL on Node, where limits are then counted in process', () => {
    expect(parseOnNode({}).warnings).toEqual([expect.stringMatching(/^REDIS_URL: not set; each process counts/)]);
  });
});

describe('what is set', () => {
  it.each<[string, unknown, (config: Config) => unknown, unknown]>([
    ['PORT', '0', (c) => c.listen.port, 0],
    ['HOST', '::1', (c) => c.listen.host, '::1'],
    ['ADMIN_PORT', '65535', (c) => c.admin.port, 65535],
    ['ADMIN_HOST', 'localhost', (c) => c.admin.host, 'localhost'],
    ['BACKEND_URL', 'https://Backend.example/base//', (c) => c.backend.url, 'https://backend.example/base'],
    ['BACKEND_URL', 'http://127.9.8.7:1', (c) => c.backend.url, 'http://127.9.8.7:1'],
    ['BACKEND_URL', 'http://[::1]:1/v1', (c) => c.backend.url, 'http://[::1]:1/v1'],
    ['BACKEND_URL', 'http://localhost:1', (c) => c.backend.url, 'http://localhost:1'],
    ['BACKEND_TOKEN_URL', 'https://auth.example/t/', (c) => c.backend.tokenUrl, 'https://auth.example/t/'],
    ['BACKEND_TIMEOUT_MS', '100', (c) => c.backend.timeoutMs, 100],
    ['BACKEND_CONCURRENCY', '1', (c) => c.backend.concurrency, 1],
    ['LEGACY_TOKEN_ISSUER', 'https://uaa/oauth', (c) => c.legacyToken.issuer, 'https://uaa/oauth'],
    ['LEGACY_TOKEN_AUDIENCE', 'cc', (c) => c.legacyToken.audience, 'cc'],
    ['LEGACY_PROFILE', '2017-03', (c) => c.profile, '2017-03'],
    [
      'LEGACY_PROFILE_BY_CLIENT',
      '[{"user_agent": "cf/", "profile": "2015-01"}, {"client_id": "ci", "profile": "2015-11"}]',
      (c) => c.clientRules,
      [
        { userAgentPrefix: 'cf/', profile: '2015-01' },
        { clientId: 'ci', profile: '2015-11' },
      ],
    ],
    ['LEGACY_ORIGIN_URL', 'https://cc.example:8443/', (c) => c.originUrl, 'https://cc.example:8443'],
    [
      'LEGACY_INFO',
      '{ "authorization_endpoint": "a",\n "token_endpoint": "t", "api_version": "2.18.0", "n": [1] }',
      (c) => c.info,
      '{"authorization_endpoint":"a","token_endpoint":"t","api_version":"2.18.0","n":[1]}',
    ],
    ['ADAPT', 'get-organization, remove-org-user,get-organization', (c) => c.adapt, [...OPERATIONS].reverse()],
    ['ORGANIZATION_CACHE_SECONDS', '1', (c) => c.organizationCacheSeconds, 1],
    ['REDIS_URL', 'redis://u:p%40@r:6379/15', (c) => c.redis?.urls, ['redis://u:p%40@r:6379/15']],
    [
      'REDIS_URL',
      'redis://:a,b@r1, redis://:a,b@r2:7000',
      (c) => c.redis?.urls,
      ['redis://:a,b@r1', 'redis://:a,b@r2:7000'],
    ],
    ['RATE_LIMIT', '1/1s', (c) => c.rateLimit.caller, { limit: 1, periodSeconds: 1 }],
    ['RATE_LIMIT', 'off', (c) => c.rateLimit.caller, undefined],
    [
      'RATE_LIMIT_ORGANIZATION',
      '1000000/24h',
      (c) => c.rateLimit.organization,
      { limit: 1_000_000, periodSeconds: 86_400 },
    ],
    ['RATE_LIMIT_UNAUTHENTICATED', '5/10m', (c) => c.rateLimit.address, { limit: 5, periodSeconds: 600 }],
    ['RATE_LIMIT_ON_FAILURE', 'closed', (c) => c.rateLimit.onFailure, 'closed'],
    ['TRUSTED_PROXIES', '2', (c) => c.trustedProxies, 2],
    ['SHUTDOWN_TIMEOUT_MS', '0', (c) => c.shutdownTimeoutMs, 0],
    ['LOG_LEVEL', 'error', (c) => c.logLevel, 'error'],
  ])('%s=%s is understood', (name, value, read, expected) => {
    expect(read(configOf(parseOnNode({ [name]: value })))).toEqual(expected);
  });

  it('REDIS_TIMEOUT_MS goes with REDIS_URL', () => {
    const config = configOf(parseOnNode({ REDIS_URL: 'redis://r', REDIS_TIMEOUT_MS: '50' }));
    expect(config.redis).toEqual({ urls: ['redis://r'], timeoutMs: 50 });
  });

  it('may be a number or an object in wrangler.toml', () => {
    const config = configOf(
      parseOnWorkers({
        BACKEND_TIMEOUT_MS: 900,
        LEGACY_INFO: { authorization_endpoint: 'a', token_endpoint: 't', api_version: '' },
      }),
    );
    expect([config.backend.timeoutMs, config.info]).toEqual([
      900,
      '{"authorization_endpoint":"a","token_endpoint":"t","api_version":""}',
    ]);
  });

  it('means nothing where it belongs to the other runtime', () => {
    expect(configOf(parseOnWorkers({ PORT: 'tcp://10.0.0.1:80', SHUTDOWN_TIMEOUT_MS: 'x' })).listen.port).toBe(8080);
    const onNode = parseOnNode({ ADMIN_TOKEN: CANARY, BACKEND_CREDENTIAL_ACME: CANARY, REDIS_URL: 'redis://r' });
    expect(configOf(onNode).admin.token).toBeUndefined();
    expect(onNode.warnings).toEqual([
      expect.stringMatching(/^ADMIN_TOKEN: not used on Node/),
      expect.stringMatching(/^BACKEND_CREDENTIAL_ACME: not used on Node/),
    ]);
    expect(onNode.warnings.join()).not.toContain(CANARY);
  });
});

const INTEGERS: [string, number, number][] = [
  ['PORT', 0, 65535],
  ['ADMIN_PORT', 0, 65535],
  ['BACKEND_TIMEOUT_MS', 100, 120_000],
  ['BACKEND_CONCURRENCY', 1, 10_000],
  ['ORGANIZATION_CACHE_SECONDS', 1, 86_400],
  ['REDIS_TIMEOUT_MS', 10, 10_000],
  ['TRUSTED_PROXIES', 0, 32],
  ['SHUTDOWN_TIMEOUT_MS', 0, 600_000],
];

const WRONG_HTTP_URLS: [string, string][] = [
  [`http://backend.example/${CANARY}`, '"http://backend.example" with a path'],
  ['http://127.0.0.1.example/', '"http://127.0.0.1.example"'],
  ['http://localhost.example', '"http://localhost.example"'],
  [`https://user:${CANARY}@b.example`, '"https://b.example" with userinfo'],
  [`https://${CANARY}@b.example`, '"https://b.example" with userinfo'],
  [`https://b.example/?key=${CANARY}`, '"https://b.example" with a query'],
  ['https://b.example?', '"https://b.example" with a query'],
  [`https://b.example/#${CANARY}`, '"https://b.example" with a fragment'],
  [`user:${CANARY}@b.example`, 'a URL of another scheme, or without a host'],
  [`ftp://b.example/${CANARY}`, 'a URL of another scheme, or without a host'],
  [`b.example/${CANARY}`, 'text that is not a URL'],
  [`https://user:${CANARY}@b example`, 'text that is not a URL'],
];

const RATE_LIMITS = ['RATE_LIMIT', 'RATE_LIMIT_ORGANIZATION', 'RATE_LIMIT_UNAUTHENTICATED'];

const WRONG_QUOTAS = [
  '0/1h',
  '1/0s',
  '1/25h',
  '1/86401s',
  '1/1d',
  '1/h',
  '100',
  '-1/1h',
  '1.5/1h',
  '1000001/1h',
  '1 / 1h',
  'OFF',
  'on',
];

const WRONG_PEMS: [string, string][] = [
  [toPem(CANARY, 'PRIVATE KEY'), 'a private key'],
  [toPem('x') + toPem(CANARY, 'RSA PRIVATE KEY'), 'a private key'],
  [CANARY, 'no PEM block'],
  [`${toPem('x')}-----BEGIN PUBLIC KEY-----\n${CANARY}`, 'text beside whole PEM blocks'],
  ['file:/run/missing.pem', 'a file that cannot be read: "/run/missing.pem" (ENOENT)'],
];

/** [variable, value, what the line says was found] */
const WRONG: [string, string, string][] = [
  ...INTEGERS.flatMap(([name, min, max]) =>
    [`${min - 1}`, `${max + 1}`, '1.5', '1e3', ' 1', '0x10', 'many', '99999999999'].map(
      (value): [string, string, string] => [name, value, `"${value}"; accepted: a whole number from ${min} to ${max}`],
    ),
  ),
  ...['HOST', 'ADMIN_HOST'].map((name): [string, string, string] => [
    name,
    'http://x',
    '"http://x"; accepted: an IP address',
  ]),
  ...['BACKEND_URL', 'BACKEND_TOKEN_URL', 'LEGACY_ORIGIN_URL', 'LEGACY_TOKEN_KEYS_URL'].flatMap((name) =>
    WRONG_HTTP_URLS.map(([value, found]): [string, string, string] => [
      name,
      value,
      `${found}; accepted: an https URL (http only`,
    ]),
  ),
  ['LEGACY_ORIGIN_URL', 'https://cc.example/base', '"https://cc.example" with a path; accepted: an https URL'],
  ['LEGACY_PROFILE', '2016', '"2016"; accepted: 2014-12, 2015-01, 2015-11, 2017-03'],
  ['LEGACY_PROFILE', 'constructor', '"constructor"; accepted: 2014-12'],
  ['LEGACY_PROFILE_BY_CLIENT', 'cf=2015-01', '"cf=2015-01"; accepted: JSON'],
  ['LEGACY_PROFILE_BY_CLIENT', '{}', '"{}"; accepted: JSON'],
  ['LEGACY_PROFILE_BY_CLIENT', '[{"user_agent":"a","profile":"x"}]', '; accepted: JSON'],
  ['LEGACY_PROFILE_BY_CLIENT', '[{"user_agent":"","profile":"2014-12"}]', '; accepted: JSON'],
  ['LEGACY_PROFILE_BY_CLIENT', '[{"user_agent":"a","client_id":"b","profile":"2014-12"}]', '; accepted: JSON'],
  ['LEGACY_PROFILE_BY_CLIENT', '[{"profile":"2014-12"}]', '; accepted: JSON'],
  ...[CANARY, '[]', '"x"', 'null', '1'].map((value): [string, string, string] => [
    'LEGACY_INFO',
    value,
    `a value of ${value.length} characters; accepted: a JSON object with at least the texts authorization_endpoint, token_endpoint and api_version`,
  ]),
  ['ADAPT', 'remove-org-user,frobnicate', 'accepted: one or more of remove-org-user, get-organization'],
  ['ADAPT', ',', 'accepted: one or more of'],
  ['ORGANIZATIONS', 'file:', '"file:"; accepted: file:PATH or redis'],
  ['ORGANIZATIONS', 'redis://x', '"redis://x"; accepted: file:PATH or redis'],
  ['REDIS_URL', `http://:${CANARY}@r`, '"http://r" with userinfo; accepted: redis:// or rediss://'],
  ['REDIS_URL', `redis://:${CANARY}@r/x`, '"redis://r" with userinfo and a path; accepted: redis://'],
  ['REDIS_URL', `redis://:${CANARY}@r?db=1`, '"redis://r" with userinfo and a query; accepted: redis://'],
  ['REDIS_URL', `redis://:${CANARY}@`, 'accepted: redis://'],
  ['REDIS_URL', `r:6379,${CANARY}`, 'several URLs; accepted: redis://'],
  ['REDIS_URL', `redis://:${CANARY}@r1,redis://r2`, 'several URLs; accepted: redis://'],
  ['REDIS_URL', 'redis://r1,rediss://r2', 'several URLs; accepted: redis://'],
  ['REDIS_URL', 'redis://r1/1,redis://r2/1', 'several URLs; accepted: redis://'],
  ...RATE_LIMITS.flatMap((name) =>
    WRONG_QUOTAS.map((value): [string, string, string] => [name, value, `"${value}"; accepted: N/<count><s, m or h>`]),
  ),
  ['RATE_LIMIT_ON_FAILURE', 'deny', '"deny"; accepted: local, open, closed'],
  ['LOG_LEVEL', 'trace', '"trace"; accepted: debug, info, warn, error'],
  ['LEGACY_TOKEN_SECRET', CANARY, `${CANARY.length} bytes; accepted: at least 32 bytes`],
  ...WRONG_PEMS.map(([value, found]): [string, string, string] => [
    'LEGACY_TOKEN_PUBLIC_KEY',
    value,
    `${found}; accepted: one or more PEM blocks`,
  ]),
];

describe('what is wrong', () => {
  it.each(WRONG)('%s=%j is refused, and says what was found and what is accepted', (name, value, said) => {
    const alone = name.startsWith('LEGACY_TOKEN_') && name !== 'LEGACY_TOKEN_SECRET' ? { LEGACY_TOKEN_SECRET: '' } : {};
    const mistakes = mistakesOf(parseOnNode({ ...alone, [name]: value }));
    expect(mistakes).toEqual([expect.stringContaining(said)]);
    expect(mistakes[0]).toMatch(new RegExp(`^${name}: found `));
    expect(mistakes[0]).not.toContain(CANARY);
  });

  it('is listed completely: one wrong value of every variable gives one line of every variable', () => {
    const env: Env = Object.fromEntries(WRONG.map(([name, value]) => [name, value]));
    const mistakes = mistakesOf(parseConfig({ ...env, BACKEND_CREDENTIALS: CANARY }, NODE, OPERATIONS));
    const names = new Set(mistakes.map((line) => line.slice(0, line.indexOf(':'))));
    expect([...names].sort()).toEqual(
      [...new Set(Object.keys(env)), 'BACKEND_CREDENTIALS', 'LEGACY_TOKEN_SECRET and LEGACY_TOKEN_PUBLIC_KEY']
        .filter((name) => !name.includes(' and '))
        .concat('LEGACY_TOKEN_SECRET, LEGACY_TOKEN_PUBLIC_KEY, LEGACY_TOKEN_KEYS_URL')
        .sort(),
    );
    expect(mistakes.join('\n')).not.toContain(CANARY);
  });

  it('covers every variable that can be wrong', () => {
    const tried = new Set([
      ...WRONG.map(([name]) => name),
      'BACKEND_CREDENTIALS',
      'BACKEND_CREDENTIAL_<NAME>',
      'ADMIN_TOKEN',
    ]);
    const untried = VARIABLES.map(({ name }) => name).filter((name) => !tried.has(name));
    expect(untried).toEqual(['LEGACY_TOKEN_ISSUER', 'LEGACY_TOKEN_AUDIENCE']);
  });

  it('is a second key for legacy tokens', () => {
    const both = mistakesOf(parseOnNode({ LEGACY_TOKEN_KEYS_URL: 'https://uaa.example/token_keys' }));
    expect(both).toEqual([expect.stringContaining('LEGACY_TOKEN_SECRET and LEGACY_TOKEN_KEYS_URL are set')]);
    expect(both.join()).not.toContain(CANARY);
  });

  it('is one port for both listeners', () => {
    expect(mistakesOf(parseOnNode({ PORT: '9090' }))).toEqual([
      expect.stringMatching(/^ADMIN_PORT: found the port of PORT/),
    ]);
    expect(mistakesOf(parseOnNode({ PORT: '9090', HOST: '127.0.0.1' }))).toHaveLength(1);
    expect(mistakesOf(parseOnNode({ PORT: '9090', HOST: '127.0.0.2' }))).toEqual([]);
    expect(mistakesOf(parseOnNode({ PORT: '0', ADMIN_PORT: '0' }))).toEqual([]);
  });

  it('is a directory in Redis without a Redis', () => {
    expect(mistakesOf(parseOnNode({ ORGANIZATIONS: 'redis' }))).toEqual([
      expect.stringMatching(/^REDIS_URL: not set, and ORGANIZATIONS is redis; accepted: redis:/),
    ]);
    expect(configOf(parseOnNode({ ORGANIZATIONS: 'redis', REDIS_URL: 'redis://r' })).organizations).toEqual({
      kind: 'redis',
    });
  });
});

describe('on Workers', () => {
  it.each([
    ['REDIS_URL', `rediss://:${CANARY}@r1,rediss://:${CANARY}@r2`, 'one only: Redis Cluster needs Node'],
    ['REDIS_URL', '', 'REDIS_URL: not set'],
    ['ORGANIZATIONS', 'file:/run/organizations.json', 'accepted: redis: Workers have no files'],
    ['BACKEND_CREDENTIALS', 'file:/run/credentials.json', 'found a file: Workers have none'],
    ['ADMIN_TOKEN', CANARY, `a value of ${CANARY.length} characters; accepted: at least 16 visible ASCII characters`],
    ['ADMIN_TOKEN', `${SECRET} ${SECRET}`, 'accepted: at least 16 visible ASCII characters'],
  ])('%s=%s is refused', (name, value, said) => {
    const mistakes = mistakesOf(parseOnWorkers({ [name]: value }));
    expect(mistakes).toEqual([expect.stringContaining(said)]);
    expect(mistakes.join()).not.toContain(CANARY);
  });

  it('refuses a key file', () => {
    const mistakes = mistakesOf(
      parseOnWorkers({ LEGACY_TOKEN_SECRET: '', LEGACY_TOKEN_PUBLIC_KEY: 'file:/run/keys.pem' }),
    );
    expect(mistakes).toEqual([expect.stringContaining('found a file: Workers have none')]);
  });

  it('takes no backend deadline that outlives the work of a request whose client has gone', () => {
    expect(configOf(parseOnWorkers({ BACKEND_TIMEOUT_MS: '25000' })).backend.timeoutMs).toBe(25_000);
    expect(mistakesOf(parseOnWorkers({ BACKEND_TIMEOUT_MS: '25001' }))).toEqual([expect.stringContaining('25000')]);
  });

  it('takes ADMIN_TOKEN', () => {
    expect(configOf(parseOnWorkers({ ADMIN_TOKEN: SECRET })).admin.token).toBe(SECRET);
  });
});

describe('keys for legacy tokens', () => {
  const withoutSecret = { LEGACY_TOKEN_SECRET: '' };
  it.each([
    ['real line ends', KEYS.join('')],
    ['\\n for line ends', KEYS.join('').replaceAll('\n', '\\n')],
    ['CRLF', KEYS.join('').replaceAll('\n', '\r\n')],
    ['a file', 'file:/run/keys.pem'],
  ])('may be several PEMs with %s', (_, value) => {
    const { keys } = configOf(parseOnNode({ ...withoutSecret, LEGACY_TOKEN_PUBLIC_KEY: value })).legacyToken;
    if (keys.kind !== 'public-keys') throw new Error(keys.kind);
    expect(keys.pems.map((pem) => `${pem.replaceAll('\r', '')}\n`)).toEqual(KEYS);
  });

  it('are refused together with all else that is wrong, where one is too weak', () => {
    const value = createRsaKey({ bits: 1024 }).pem;
    const parsed = parseOnNode({ ...withoutSecret, LEGACY_TOKEN_PUBLIC_KEY: value, RATE_LIMIT: 'x' });
    expect(mistakesOf(parsed)).toEqual([
      expect.stringMatching(/^RATE_LIMIT: /),
      expect.stringMatching(/^LEGACY_TOKEN_PUBLIC_KEY: key 1 is .*1024/),
    ]);
  });

  it('may be a key set, and nothing of its URL is changed', () => {
    const url = 'https://uaa.example/token_keys/';
    expect(configOf(parseOnNode({ ...withoutSecret, LEGACY_TOKEN_KEYS_URL: url })).legacyToken.keys).toEqual({
      kind: 'key-set',
      url,
    });
  });

  it('count bytes, not characters, and warn of white space around a secret', () => {
    expect(mistakesOf(parseOnNode({ LEGACY_TOKEN_SECRET: 'é'.repeat(16) }))).toEqual([]);
    const { warnings } = parseOnNode({ LEGACY_TOKEN_SECRET: `${SECRET}\n`, REDIS_URL: 'redis://r' });
    expect(warnings).toEqual([expect.stringMatching(/^LEGACY_TOKEN_SECRET: begins or ends with white space/)]);
    expect(warnings.join()).not.toContain(CANARY);
  });
});

describe('credentials for the backend', () => {
  const client = { client_id: 'id', client_secret: CANARY };

  it.each([
    ['no JSON', `{"acme": ${CANARY}`],
    ['an array', '[]'],
    ['text', `"${CANARY}"`],
    ['nothing in it', '{}'],
    ['a name twice', `{"acme": {"token": "${CANARY}"}, "acme": {"token": "x"}}`],
    ['the layer of names forgotten', JSON.stringify(client)],
    ['half a client', '{"acme": {"client_id": "x"}}'],
    ['both kinds', JSON.stringify({ acme: { ...client, token: 'x' } })],
    ['another key', JSON.stringify({ acme: { token: 'x', note: CANARY } })],
    ['an empty secret', '{"acme": {"client_id": "x", "client_secret": ""}}'],
    ['a secret that is a number', '{"acme": {"client_id": "x", "client_secret": 5}}'],
    ['a line end in a token', JSON.stringify({ acme: { token: `${CANARY}\n` } })],
    ['an empty name', JSON.stringify({ '': { token: CANARY } })],
    ['a secret for a name', JSON.stringify({ [CANARY.repeat(5)]: 'x' })],
    ['a file that is not there', 'file:/run/nowhere.json'],
    ['a file that is broken', 'file:/run/broken.json'],
  ])('are refused with %s, and no secret is shown', (_, value) => {
    const env = { BACKEND_CREDENTIALS: value, BACKEND_TOKEN_URL: 'https://auth.example/token' };
    const mistakes = mistakesOf(parseOnNode(env));
    expect(mistakes).not.toEqual([]);
    for (const line of mistakes) expect(line).toMatch(/^BACKEND_CREDENTIALS: .*/);
    expect(mistakes.join()).not.toContain(CANARY);
  });

  it('name every credential that is wrong', () => {
    const mistakes = mistakesOf(parseOnNode({ BACKEND_CREDENTIALS: '{"a": {}, "b": {"token": "x"}, "c": null}' }));
    expect(mistakes.map((line) => line.slice(0, 37))).toEqual([
      'BACKEND_CREDENTIALS: under "a": found',
      'BACKEND_CREDENTIALS: under "c": found',
    ]);
  });

  it('may be called constructor or __proto__', () => {
    const { credentials } = configOf(
      parseOnNode({ BACKEND_CREDENTIALS: '{"constructor": {"token": "a"}, "__proto__": {"token": "b"}}' }),
    ).backend;
    if (credentials.kind !== 'list') throw new Error(credentials.kind);
    expect(credentials.list.get('constructor')).toEqual({ kind: 'token', token: 'a' });
    expect(credentials.list.get('__proto__')).toEqual({ kind: 'token', token: 'b' });
    expect(credentials.list.get('toString')).toBeUndefined();
  });

  it('need BACKEND_TOKEN_URL where one has a client_id, in a file too', () => {
    for (const value of [JSON.stringify({ acme: client }), 'file:/run/credentials.json']) {
      expect(mistakesOf(parseOnNode({ BACKEND_CREDENTIALS: value }))).toEqual([
        expect.stringMatching(/^BACKEND_TOKEN_URL: not set, and a credential has a client_id; accepted: an https URL/),
      ]);
    }
    const env = { BACKEND_CREDENTIALS: 'file:/run/credentials.json', BACKEND_TOKEN_URL: 'https://auth.example/token' };
    expect(configOf(parseOnNode(env)).backend.credentials).toEqual({ kind: 'file', path: '/run/credentials.json' });
  });

  it('may be one secret each on Workers, found by every spelling of their name', () => {
    const { credentials } = configOf(
      parseOnWorkers({
        BACKEND_CREDENTIALS: '',
        BACKEND_CREDENTIAL_ACME_EU: '{"token": "a"}',
        BACKEND_CREDENTIAL_constructor: JSON.stringify(client),
        BACKEND_TOKEN_URL: 'https://auth.example/token',
      }),
    ).backend;
    if (credentials.kind !== 'list') throw new Error(credentials.kind);
    for (const name of ['acme-eu', 'ACME_EU', 'acme.eu']) {
      expect(credentials.list.get(name)).toEqual({ kind: 'token', token: 'a' });
      expect(credentials.list.has(name)).toBe(true);
    }
    expect(credentials.list.get('constructor')).toEqual({ kind: 'client', clientId: 'id', clientSecret: CANARY });
    expect(credentials.list.get('acme')).toBeUndefined();
    expect(credentials.list.has('hasOwnProperty')).toBe(false);
  });

  it('stand beside the one variable on Workers, but each in one place only', () => {
    const both = { BACKEND_CREDENTIALS: '{"acme-eu": {"token": "a"}}', BACKEND_CREDENTIAL_OTHER: '{"token": "b"}' };
    const { credentials } = configOf(parseOnWorkers(both)).backend;
    if (credentials.kind !== 'list') throw new Error(credentials.kind);
    expect(['acme-eu', 'other', 'ACME_EU'].map((name) => credentials.list.get(name)?.kind)).toEqual([
      'token',
      'token',
      undefined,
    ]);
    expect(mistakesOf(parseOnWorkers({ ...both, BACKEND_CREDENTIAL_ACME_EU: '{"token": "c"}' }))).toEqual([
      expect.stringMatching(/^BACKEND_CREDENTIAL_ACME_EU: found in BACKEND_CREDENTIALS too, as "acme-eu"/),
    ]);
    expect(
      mistakesOf(parseOnWorkers({ BACKEND_CREDENTIAL_a: '{"token":"a"}', BACKEND_CREDENTIAL_A: '{"token":"b"}' })),
    ).toEqual([expect.stringMatching(/^BACKEND_CREDENTIAL_A: found twice/)]);
  });

  it('in the one variable are found by their exact name only', () => {
    const both = { BACKEND_CREDENTIALS: '{"ACME": {"token": "a"}}', BACKEND_CREDENTIAL_OTHER: '{"token": "b"}' };
    const { credentials } = configOf(parseOnWorkers(both)).backend;
    if (credentials.kind !== 'list') throw new Error(credentials.kind);
    expect([credentials.list.has('ACME'), credentials.list.has('acme')]).toEqual([true, false]);
  });

  it('are refused one by one on Workers, and no secret is shown', () => {
    const mistakes = mistakesOf(parseOnWorkers({ BACKEND_CREDENTIAL_A: CANARY, BACKEND_CREDENTIAL_B: `"${CANARY}"` }));
    expect(mistakes).toEqual([
      expect.stringMatching(/^BACKEND_CREDENTIAL_A: line 1, column 1: not valid JSON/),
      expect.stringMatching(/^BACKEND_CREDENTIAL_B: found no credential; accepted: \{"client_id": ID/),
    ]);
    expect(mistakes.join()).not.toContain(CANARY);
  });
});

describe('a variable that looks like one of ours', () => {
  it.each([
    ['RATE_LIMITS', 'RATE_LIMIT'],
    ['REDIS_URI', 'REDIS_URL'],
    ['BACKEND_TIMEOUT', undefined],
    ['LEGACY_PROFILES', 'LEGACY_PROFILE'],
    ['Log_Levels', 'LOG_LEVEL'],
    ['redis_url', 'REDIS_URL'],
    ['ORGANISATIONS', 'ORGANIZATIONS'],
    ['REDIS_PORT_6379_TCP', undefined],
    ['REDIS_PORT', undefined],
    ['BACKEND_SERVICE_HOST', undefined],
    ['PORTS', undefined],
    ['PATH', undefined],
  ])('%s is warned of, never refused: it may mean %s', (name, meant) => {
    const { ok, warnings } = parseOnNode({ [name]: CANARY, REDIS_URL: 'redis://r' });
    expect(ok).toBe(true);
    expect(warnings).toEqual(meant === undefined ? [] : [`${name}: unknown, and not read; did you mean ${meant}?`]);
  });
});
