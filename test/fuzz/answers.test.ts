/**
 * Whole answers of the backend, sensible and not, and connections that break, against what ships: the client always gets
 * one of the legacy answers within the deadline, a success only where a removal was answered as one, and the audit trail
 * says the same. What each answer means: `test/contract/remove-org-user/backend-*.json`; schedules of faults: `test/fault/`.
 */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type Runtime, startHoldover } from '../support/holdover.ts';
import { loadDirectory } from '../support/load-directory.ts';
import { rawRequest } from '../support/raw-request.ts';
import { startRedis } from '../support/redis.ts';
import {
  makeAccessToken,
  type RecordedCall,
  type Step,
  startScriptedBackend,
  toTokenStep,
} from '../support/scripted-backend.ts';
import { createSecret, signToken, toClaims } from '../support/tokens.ts';
import { FUZZ_TIMEOUT_MS, readCorpus, toBudget } from './budget.ts';
import { findShapeFaults } from './legacy-shape.ts';

/** What the backend says to one removal, call by call; healthy where nothing is said (any more). */
interface Case {
  readonly why?: string;
  readonly token: readonly Step[];
  readonly organization: readonly Step[];
  readonly remove: readonly Step[];
  readonly members: readonly Step[];
}

const RUNS = { node: 220, workerd: 60 };

const SECRET = 'a secret of the fuzzed answers, long enough for HS256';
const USER = '22222222-2222-4222-8222-222222222222';

/** BACKEND_TIMEOUT_MS: short, since some answers never end. */
const DEADLINE_MS = 500;
const SLACK_MS = 3_000;

/** Each case has an organization of its own, whose credential has never been used; and one is always well. */
const ORGANIZATIONS = 400;
const STEADY = 'steady';

/** All that a client may be told. */
const ANSWERS = new Set(['201', '400 1002', '403 10003', '429 10013', '500 10001', '503 10015']);

const status = fc.oneof(
  { weight: 4, arbitrary: fc.constantFrom(204, 200, 404, 400, 401, 403, 429, 500, 503) },
  { weight: 1, arbitrary: fc.integer({ min: 100, max: 999 }) },
);
const ID = '11111111-1111-4111-8111-111111111111';
const body: fc.Arbitrary<string | object> = fc.oneof(
  fc.constantFrom<string | object>(
    '',
    '{}',
    'null',
    '[]',
    '<html>',
    '{"message":',
    { message: 'x' },
    { message: 'x', code: 'invalid_token' },
  ),
  fc.constantFrom<object>(
    {
      type: 'urn:aerospike:errors:resource:not-found',
      title: 'x',
      status: 404,
      context: { resource: 'member', id: USER },
    },
    {
      type: 'urn:aerospike:errors:validation:failed',
      title: 'x',
      status: 400,
      context: { invalid: [{ field: '/userId', type: 'failed' }] },
    },
    { type: 'urn:x', title: 'x', status: 403, detail: 'x' },
    { count: 1, members: [{ id: USER }] },
    { count: 1, members: [{ id: ID }], meta: { total: 1, limit: 10, offset: 0 } },
    { count: -1, members: [{ id: 1 }, null, 'x'], meta: { total: 1e9 } },
    { id: 'org-x' },
    { access_token: 'x y', expires_in: -1 },
    { access_token: 'a.b.c', expires_in: '1', token_type: 'mac' },
  ),
  fc.object({ maxDepth: 2, maxKeys: 3 }),
  fc.string({ unit: 'binary', maxLength: 40 }),
  fc.constantFrom('x'.repeat(100_000), `${'['.repeat(20_000)}${']'.repeat(20_000)}`),
);
const headers = fc.dictionary(
  fc.constantFrom(
    'Retry-After',
    'Content-Type',
    'Content-Encoding',
    'X-Request-Id',
    'Location',
    'Set-Cookie',
    'Connection',
    'X-VCAP-Request-ID',
  ),
  fc.constantFrom(
    '0',
    '1',
    '-1',
    '99999999999',
    'Wed, 21 Oct 2015 07:28:00 GMT',
    'gzip',
    'application/json',
    'application/problem+json',
    'close',
    'http://127.0.0.1:1/',
    'x'.repeat(9000),
  ),
  { maxKeys: 2 },
);
const raw = fc.constantFrom(
  'HTTP/1.1 204 No Content\r\n\r\n',
  'HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\nhello',
  'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n',
  'HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n',
  'HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n{} ',
  'HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n',
  'HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n',
  'HTTP/1.0 200 OK\r\n\r\n',
  'HTTP/2 200\r\n\r\n',
  'ICY 200 OK\r\n\r\n',
  '\0\0\0\0',
  'SSH-2.0-x\r\n',
  `HTTP/1.1 200 OK\r\nX: ${'x'.repeat(100_000)}\r\n\r\n`,
  'HTTP/1.1 404 Not Found\r\nContent-Encoding: gzip\r\nContent-Length: 2\r\n\r\n{}',
);
const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 8, arbitrary: fc.record({ status, body, headers }) },
  { weight: 1, arbitrary: fc.record({ raw }) },
  { weight: 1, arbitrary: fc.record({ raw, fault: fc.constant('cut' as const), afterBytes: fc.nat(60) }) },
  {
    weight: 2,
    arbitrary: fc.record({
      status,
      body,
      fault: fc.constantFrom('reset' as const, 'cut' as const),
      afterBytes: fc.nat(200),
    }),
  },
);
const anything: fc.Arbitrary<Case> = fc.record({
  token: fc.oneof({ weight: 5, arbitrary: fc.constant([]) }, fc.array(step, { minLength: 1, maxLength: 2 })),
  organization: fc.oneof({ weight: 5, arbitrary: fc.constant([]) }, fc.array(step, { minLength: 1, maxLength: 2 })),
  remove: fc.array(step, { minLength: 1, maxLength: 3 }),
  members: fc.oneof({ weight: 1, arbitrary: fc.constant([]) }, fc.array(step, { minLength: 1, maxLength: 2 })),
});

const corpus = readCorpus<Case>('answers');

describe.each(['node', 'workerd'] as const)('an answer of the backend, on %s', (runtime) => {
  it(
    'whatever it is, becomes one of the legacy answers, and a success only where it is one',
    async () => {
      const range = await openRange(runtime);
      const seen = new Map<string, number>();
      try {
        await fc.assert(
          fc.asyncProperty(anything, async (given) => {
            const found = await range.tell(given);
            seen.set(found, (seen.get(found) ?? 0) + 1);
          }),
          toBudget(RUNS[runtime], corpus),
        );
      } finally {
        await range.end();
      }
      range.compare();
      if (process.env['FUZZ_SECONDS']) console.info(runtime, Object.fromEntries(seen));
      // A property that never saw one of the sides would hold of a server that always says the same.
      expect([...seen.keys()].sort()).toEqual(expect.arrayContaining(['201', '503 10015']));
    },
    FUZZ_TIMEOUT_MS,
  );
});

/** A Holdover before a backend that says what it is told to say. */
async function openRange(runtime: Runtime) {
  const folder = mkdtempSync(join(tmpdir(), 'holdover-fuzz-'));
  const names = [STEADY, ...Array.from({ length: ORGANIZATIONS }, (_, index) => `case-${index}`)];
  const credentials = JSON.stringify(
    Object.fromEntries(names.map((name) => [name, { client_id: name, client_secret: 'x' }])),
  );
  const redis = await startRedis();
  await loadDirectory(redis.url, toDirectory(names));
  const backend = await startScriptedBackend();
  let queues: Record<string, Step[]> = {};
  const played: Step[] = [];
  backend.play((call) => {
    const next = toCredential(call) === STEADY ? undefined : queues[call.endpoint]?.shift();
    if (call.endpoint === 'remove') played.push(next ?? { status: 204 });
    return next ?? toHealthyStep(call);
  });
  const path = join(folder, 'credentials.json');
  writeFileSync(path, credentials);
  const holdover = await startHoldover(runtime, {
    BACKEND_URL: backend.url,
    BACKEND_TOKEN_URL: backend.tokenUrl,
    BACKEND_CREDENTIALS: runtime === 'node' ? `file:${path}` : credentials,
    BACKEND_TIMEOUT_MS: `${DEADLINE_MS}`,
    LEGACY_TOKEN_SECRET: SECRET,
    ORGANIZATIONS: 'redis',
    REDIS_URL: redis.url,
    REDIS_TIMEOUT_MS: '5000',
    RATE_LIMIT: 'off',
  });
  const token = await signToken(toClaims({ exp: Math.floor(Date.now() / 1000) + 86_400 }), createSecret(SECRET));
  const told = new Map<string, string>();
  let cases = 0;
  let last: Promise<unknown> = Promise.resolve();

  const remove = (guid: string) =>
    rawRequest(holdover.url, {
      method: 'DELETE',
      target: `/v2/organizations/${guid}/users/bob`,
      headers: { Authorization: `bearer ${token}` },
    });

  return {
    /** Plays one case; what the client was told, in a word. */
    tell(given: Case): Promise<string> {
      const playing = this.play(given);
      // A run that is out of time leaves its last case alone.
      last = playing.catch(() => undefined);
      return playing;
    },

    async play(given: Case): Promise<string> {
      queues = { ...structuredClone({ ...given, why: undefined }) } as unknown as Record<string, Step[]>;
      played.length = 0;
      const startedAt = performance.now();
      const answer = await remove(`case-${cases++ % ORGANIZATIONS}`);
      expect(performance.now() - startedAt).toBeLessThan(DEADLINE_MS + SLACK_MS);
      const text = answer.body.toString('utf8');
      expect(findShapeFaults({ ...answer, body: text })).toEqual([]);
      const code = answer.status < 400 ? '' : ` ${(JSON.parse(text) as { code: number }).code}`;
      const found = `${answer.status}${code}`;
      expect([...ANSWERS]).toContain(found);
      if (found === '201') expect(played.some(mayHaveRemoved), 'a success that nobody gave').toBe(true);
      told.set(String(answer.headers.get('x-vcap-request-id')).slice(-36), found);
      await this.recovers();
      return found;
    },

    /** One bad answer is nobody else's. The machine may be slower than the deadline, once. */
    async recovers(): Promise<void> {
      for (let tries = 0; tries < 5; tries += 1) if ((await remove(STEADY)).status === 201) return;
      expect.fail('a healthy backend was not believed any more');
    },

    async end(): Promise<void> {
      await last;
      await holdover.stop();
      await Promise.all([backend.close(), redis.stop()]);
      rmSync(folder, { recursive: true, force: true });
    },

    /** After the end: what was written is what was told. */
    compare(): void {
      const isAudit = (kind: string) => (line: Readonly<Record<string, unknown>>) =>
        line['audit'] === kind && line['organization'] !== STEADY;
      const outcomes = holdover.lines.filter(isAudit('outcome'));
      expect(holdover.lines.filter(isAudit('intent'))).toHaveLength(cases);
      expect(outcomes).toHaveLength(cases);
      for (const line of outcomes) {
        const isDone = line['outcome'] === 'removed' || line['outcome'] === 'not_a_member';
        expect(isDone, JSON.stringify(line)).toBe(told.get(String(line['request_id'])) === '201');
      }
      // workerd has words of its own for what is no HTTP.
      const own = runtime === 'node' ? /ExperimentalWarning|--trace-warnings/ : /^(?:workerd\/|stack: )/;
      expect(holdover.noise.filter((line) => !own.test(line))).toEqual([]);
    },
  };
}

/** Nothing else can be what a success rests on (decisions.md, section 6). */
function mayHaveRemoved({ status: said, raw: bytes }: Step): boolean {
  return bytes === undefined
    ? said === 204 || said === 200 || said === 404
    : /^HTTP\/\d\S* (?:204|200|404|100)/.test(bytes);
}

function toHealthyStep(call: RecordedCall): Step | undefined {
  const credential = toCredential(call);
  if (call.endpoint === 'token') return toTokenStep(makeAccessToken(undefined, { credential }));
  if (call.endpoint === 'organization') return { status: 200, body: { id: `org-${credential}` } };
  if (call.endpoint === 'members') return { status: 200, body: { count: 0, members: [] } };
  return call.endpoint === 'remove' ? { status: 204 } : undefined;
}

/** Of the caller; undefined where its token is none of ours. */
function toCredential({ endpoint, headers: sent, body: content }: RecordedCall): string | undefined {
  if (endpoint === 'token') return new URLSearchParams(content).get('client_id') ?? undefined;
  try {
    const payload = (sent['authorization'] ?? '').split('.')[1] ?? '';
    return (JSON.parse(Buffer.from(payload, 'base64url').toString()) as { credential: string }).credential;
  } catch {
    return undefined;
  }
}

function toDirectory(names: readonly string[]): string {
  return JSON.stringify({
    organizations: names.map((name) => ({
      guid: name,
      name,
      created_at: '2014-11-24T19:32:37Z',
      updated_at: null,
      billing_enabled: false,
      quota_definition_guid: null,
      status: 'active',
      managers: [],
      backend: { organization_id: `org-${name}`, credential: name },
    })),
    users: { bob: USER },
    unmapped_users: 'refuse',
  });
}
