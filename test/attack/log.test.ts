/** Attacks on what is written: lines that say what never was, and secrets that stand where they must not. */
import { expect } from 'vitest';
import { type Holdover, startHoldover } from '../support/holdover.ts';
import { type RedisServer, startRedis } from '../support/redis.ts';
import { type RecordedCall, type Step, toTokenStep } from '../support/scripted-backend.ts';
import { createSecret, signToken, toClaims } from '../support/tokens.ts';
import { describeAttacks } from './describe-attacks.ts';
import { ADMIN, ALICES, openSiege, type Siege, sign, toHealthyStep, toTarget, USERS } from './siege.ts';

/** What ends a line, begins an escape sequence for a terminal, or turns text round. */
const CONTROLS = /[\p{Cc}\u2028\u2029\u202a-\u202e\u2066-\u2069]/u;

const FORGED = '{"audit":"outcome","caller":"root","outcome":"removed"}';

const BREAKS = [
  '\n',
  '\r',
  '\r\n',
  '\u2028',
  '\u2029',
  '\u0085',
  '\v',
  '\f',
  '\0',
  '\x1b[2J',
  '\u009b31m',
  '\x7f',
  '\u202e',
  '",',
  '\\',
];

/** Every secret there is, each to be found by its first word. */
const CANARIES = {
  tokenSecret: 'canary-a of the legacy token secret, long enough',
  clientSecret: 'canary-b of a client secret',
  accessToken: 'canary-c-of-an-access-token',
  staticToken: 'canary-d-of-a-static-token',
  redisPassword: 'canary-e-of-redis',
  body: 'canary-f of a body',
  query: 'canary-g-of-a-query',
  cookie: 'canary-h-of-a-cookie',
  basic: 'canary-i:of-basic',
  header: 'canary-j of another header',
  path: 'canary-k-of-a-path',
  backendBody: 'canary-l of an answer of the backend',
  adminToken: 'canary-m-of-the-admin-token',
  userAgent: 'canary-n behind the product of a User-Agent',
};

const CANARY = CANARIES.backendBody;

const encode = (text: string) => Buffer.from(text).toString('base64url');

const toEcho = ({ headers, body }: RecordedCall) => ({ message: `${CANARY} ${JSON.stringify(headers)} ${body}` });

const onRemoval = (step: (call: RecordedCall) => Step) => (call: RecordedCall) =>
  call.endpoint === 'remove' ? step(call) : undefined;

/** What a backend could say to have something written; it begins with one that is well. */
const BACKENDS: Readonly<Record<string, (call: RecordedCall) => Step | undefined>> = {
  well: () => undefined,
  'a refusal that echoes': onRemoval((call) => ({ status: 400, body: toEcho(call), headers: { 'X-Message': CANARY } })),
  'a 404 that echoes': onRemoval((call) => ({ status: 404, body: { type: 'urn:x', title: CANARY, ...toEcho(call) } })),
  'a page': onRemoval(() => ({ status: 500, body: `<html>${CANARY}` })),
  'credentials refused': (call) =>
    call.endpoint === 'organization'
      ? undefined
      : { status: 401, body: toEcho(call), headers: { 'WWW-Authenticate': CANARY } },
  'no HTTP': onRemoval(() => ({ raw: `HTTP/1.1 ${CANARY}\r\n\r\n` })),
};

describeAttacks('log', {
  'log injection': async (siege) => {
    const holdover = await siege.holdover();
    const before = holdover.lines.length;
    let requests = 0;
    for (const text of BREAKS) {
      const forged = `x${text}${FORGED}`;
      const path = encodeURIComponent(forged.replaceAll('/', ''));
      const user_id = `alice${text}${FORGED}`;
      const token = await sign({ user_id, client_id: forged, scope: ['cloud_controller.admin'] });
      const headers = { 'User-Agent': encodeURIComponent(forged), 'X-VCAP-Request-ID': encodeURIComponent(forged) };
      await siege.refuses({ target: toTarget(path, 'bob'), headers }, 404, 30003);
      await siege.refuses({ target: toTarget(ALICES, path), headers, token }, 400, 1002);
      await siege.removes({ token, headers }, 'alices', USERS.bob);
      requests += 3;
    }
    const isRequest = (line: Readonly<Record<string, unknown>>) => line['message'] === 'request';
    await holdover.waitForLine(() => holdover.lines.slice(before).filter(isRequest).length === requests);
    expect(holdover.raw.filter((line) => CONTROLS.test(line))).toEqual([]);
    expect(holdover.noise).toEqual([]);
    const audit = holdover.lines.slice(before).filter((line) => 'audit' in line);
    expect(audit).toHaveLength(2 * BREAKS.length);
    // Nothing is lost by it: who did it stands there, to the last character.
    const intents = audit.filter((line) => line['audit'] === 'intent');
    expect(intents.map((line) => line['caller'])).toEqual(BREAKS.map((text) => `alice${text}${FORGED}`));
  },

  'a canary through every door': async ({ runtime }) => {
    const { tokenSecret, clientSecret, staticToken, redisPassword } = CANARIES;
    const redis = await startRedis({ args: ['--requirepass', redisPassword] });
    const siege = await openSiege(runtime, redis);
    const credentials = {
      alices: { client_id: 'alices', client_secret: clientSecret },
      mallorys: { token: staticToken },
    };
    const env = {
      LEGACY_TOKEN_SECRET: tokenSecret,
      BACKEND_CREDENTIALS: JSON.stringify(credentials),
      LEGACY_ORIGIN_URL: siege.origin.url,
      LOG_LEVEL: 'debug',
      ...(runtime === 'workerd' ? { ADMIN_TOKEN: CANARIES.adminToken } : {}),
    };
    const token = await signToken(toClaims({ user_id: 'root' }), createSecret(tokenSecret));
    const holdover = await siege.holdover(env);
    const seen: string[] = [];
    try {
      for (const [name, step] of Object.entries(BACKENDS)) {
        siege.backend.play((call) => step(call) ?? toCanaryStep(call));
        for (const attack of toDoors(token)) {
          const { headers, body } = await siege.send(attack, env);
          seen.push(JSON.stringify([...headers]), body);
        }
        expect(siege.backend.callsTo('remove').length, name).toBeGreaterThan(0);
        for (const { headers } of siege.backend.calls) seen.push(JSON.stringify({ ...headers, authorization: '' }));
      }
      seen.push(...(await readAdmin(holdover)), ...(await readRedis(redis)));
    } finally {
      await siege.close();
    }
    const all = [...seen, ...holdover.raw].join('\n');
    expect(all).toContain('holdover');
    const secrets = [
      ...Object.values(CANARIES).map((text) => text.slice(0, 'canary-x'.length)),
      ...token.split('.').slice(1),
    ];
    for (const secret of [...secrets, encode(CANARIES.basic), Buffer.from(CANARIES.basic).toString('base64')]) {
      expect(
        all.split('\n').filter((line) => line.includes(secret)),
        secret,
      ).toEqual([]);
    }
  },

  'secrets in a wrong configuration': async (siege) => {
    const pem = '-----BEGIN PRIVATE KEY-----\ncanary-a\n-----END PRIVATE KEY-----';
    const wrong: Record<string, string>[] = [
      {
        LEGACY_TOKEN_SECRET: 'canary-a',
        BACKEND_CREDENTIALS: '{"alices": {"client_id": "x", "client_secret": "canary-b", }}',
        BACKEND_URL: 'https://canary-c:canary-d@backend.test',
        REDIS_URL: 'redis://:canary-e@redis.test:x',
        ADMIN_TOKEN: 'canary-f',
        LEGACY_TOKEN_SECRTE: 'canary-g',
      },
      {
        LEGACY_TOKEN_SECRET: '',
        LEGACY_TOKEN_PUBLIC_KEY: pem,
        BACKEND_CREDENTIALS: '{"alices": {"client_secret": "canary-b"}, "b": "canary-c"}',
        BACKEND_TOKEN_URL: 'https://login.test/?client_secret=canary-d',
        LEGACY_ORIGIN_URL: 'https://canary-e@origin.test',
      },
      { LEGACY_TOKEN_SECRET: '', LEGACY_TOKEN_KEYS_URL: 'https://canary-a:canary-b@keys.test/' },
    ];
    for (const env of wrong) {
      const said = await startHoldover('node', { ...siege.env, ...env }).then(
        async (started) => [`${await started.stop()}`, ...started.raw].join('\n'),
        (error) => String(error),
      );
      expect(said).toContain('the configuration has mistakes');
      expect(said).not.toContain('canary-');
    }
  },
});

async function readAdmin({ adminUrl, url }: Holdover): Promise<string[]> {
  const init = { headers: { Authorization: `Bearer ${CANARIES.adminToken}` } };
  const at = (path: string) => fetch(`${adminUrl ?? `${url}/_holdover`}/${path}`, init);
  return Promise.all(['readyz', 'healthz', 'metrics'].map(async (path) => (await at(path)).text()));
}

async function readRedis(redis: RedisServer): Promise<string[]> {
  const client = redis.client();
  const keys = await client.keys('*');
  const values = await Promise.all(keys.map((key) => client.dumpBuffer(key)));
  const audit = await client.xrange('holdover:audit', '-', '+');
  return [...keys, ...values.map((value) => value?.toString('latin1') ?? ''), JSON.stringify(audit)];
}

function toCanaryStep(call: RecordedCall): Step | undefined {
  if (call.endpoint === 'organization') {
    return {
      status: 200,
      body: { id: call.headers['authorization']?.includes('static') ? 'org-mallorys' : 'org-alices' },
    };
  }
  return call.endpoint === 'token' ? toTokenStep(CANARIES.accessToken) : toHealthyStep(call);
}

/** Each way into Holdover, with a secret in every place that one can stand in. */
function toDoors(token: string): Parameters<Siege['send']>[0][] {
  const { query, body, cookie, basic, header, path, userAgent } = CANARIES;
  const headers = {
    Cookie: cookie,
    'X-Api-Key': header,
    'User-Agent': `curl/8 (${userAgent})`,
    tracestate: `x=${encode(header)}`,
  };
  const chunks = { headers, body, chunked: true };
  const removal = `${toTarget(ALICES, 'bob')}?x=${query}`;
  return [
    { token, target: removal, ...chunks },
    { token, target: toTarget('ba110000-0000-4000-8000-00000000000b', 'bob'), ...chunks },
    { token: `${token}x`, target: removal, ...chunks },
    { token: token.slice(0, -8), target: removal, headers, body },
    {
      token: null,
      target: removal,
      headers: { ...headers, Authorization: `Basic ${Buffer.from(basic).toString('base64')}` },
    },
    { token: ADMIN, target: removal, headers },
    { token, target: `${removal}&inline-relations-depth=${query}`, headers },
    { token, target: toTarget(ALICES, 'nobody'), headers },
    { token, target: `/${path}?${query}`, headers },
    { token, method: 'POST', target: `/${path}?${query}`, ...chunks },
    { token, method: 'GET', target: `/v2/organizations/${ALICES}?${query}`, headers },
    { token, target: removal, headers, body: body.repeat(5000) },
  ];
}
