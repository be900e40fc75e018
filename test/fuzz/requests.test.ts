/**
 * Whole requests, well formed and broken, against what ships: always an answer, always in the legacy shape, never the fault
 * of ours; the backend is asked for nothing but one user of an organization whose keeper asks. What the parts must do:
 * `test/property/`, `test/attack/`.
 */
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  ADMIN,
  ALICE,
  ALICES,
  MALLORY,
  MALLORYS,
  openSiege,
  type Siege,
  sign,
  toTarget,
  USERS,
} from '../attack/siege.ts';
import { openRawClient } from '../support/raw-origin.ts';
import { rawRequest } from '../support/raw-request.ts';
import { FUZZ_TIMEOUT_MS, readCorpus, toBudget } from './budget.ts';
import { findShapeFaults, readAnswers, type WireAnswer } from './legacy-shape.ts';

/** As it is in the corpus: tokens by name, so that they are always fresh. */
interface Case {
  readonly why?: string;
  readonly hasOrigin: boolean;
  /** Latin-1. */
  readonly bytes: string;
}

const RUNS = { node: 1200, workerd: 250 };
const LEAST_REMOVALS = { node: 20, workerd: 5 };

const TOKENS: Readonly<Record<string, string>> = {
  root: ADMIN,
  alice: ALICE,
  mallory: MALLORY,
  expired: await sign({ user_id: 'alice', exp: 1 }),
  forged: `${ALICE.slice(0, -6)}AAAAAA`,
  java: await sign({ user_id: 'alice', client_id: 'cf-java' }),
};

/** Whose credential a removal may be made with, by the tokens that stand in the request. */
const MAY: Readonly<Record<string, readonly string[]>> = {
  root: ['alices', 'mallorys'],
  alice: ['alices'],
  java: ['alices'],
  mallory: ['mallorys'],
};

const pick = (...texts: string[]) => fc.constantFrom(...texts);

const latin1 = fc.string({
  unit: fc.integer({ min: 0, max: 255 }).map((code) => String.fromCharCode(code)),
  maxLength: 12,
});
const visible = fc.string({
  unit: fc.integer({ min: 0x21, max: 0x7e }).map((code) => String.fromCharCode(code)),
  maxLength: 12,
});
const escaped = fc.string({ unit: 'binary', maxLength: 6 }).map((text) => encodeURIComponent(text));

const method = fc.oneof(
  { weight: 8, arbitrary: fc.constant('DELETE') },
  { weight: 3, arbitrary: pick('GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'OPTIONS') },
  { weight: 1, arbitrary: pick('TRACE', 'QUERY', 'PROPFIND', 'PURGE') },
);
const oddMethod = pick('CONNECT', 'PRI', 'delete', 'DELETE\t', '', 'G\0T', 'X'.repeat(100));

const guid = fc.oneof(
  { weight: 6, arbitrary: pick(ALICES, MALLORYS) },
  { weight: 1, arbitrary: pick('unknown', '__proto__', ALICES.toUpperCase(), `%61${ALICES.slice(1)}`, '..', '%2e') },
  { weight: 1, arbitrary: fc.oneof(escaped, visible) },
);
const user = fc.oneof(
  { weight: 6, arbitrary: pick('bob', 'mallory', 'nobody', '44444444-4444-4444-8444-44444444444a', '%62ob') },
  {
    weight: 1,
    arbitrary: pick(USERS.bob, 'bob%2f', 'bob/', '..', '', '%00', 'bob;x', 'bob%253f', '%c0%af', 'x'.repeat(300)),
  },
  { weight: 1, arbitrary: fc.oneof(escaped, visible) },
);
const before = fc.oneof(
  { weight: 8, arbitrary: fc.constant('') },
  pick('/', '//x', '/x/..', '/.', 'http://h', 'HTTPS://u@h:1', '/%2e%2e'),
);
const after = fc.oneof(
  { weight: 6, arbitrary: fc.constant('') },
  pick('/', '//', '?recursive=true', '?inline-relations-depth=1', '?', '#x', '?x=%zz', '/..', ';x', '%'),
);
const target = fc.oneof(
  {
    weight: 8,
    arbitrary: fc.tuple(before, guid, user, after).map(([head, org, id, tail]) => `${head}${toTarget(org, id)}${tail}`),
  },
  { weight: 2, arbitrary: fc.tuple(guid, after).map(([org, tail]) => `/v2/organizations/${org}${tail}`) },
  { weight: 1, arbitrary: pick('/', '*', '/v2/info', '/v2/spaces?x', '/_holdover/readyz', '/V2/Organizations', '//') },
  {
    weight: 1,
    arbitrary: fc.array(fc.oneof(escaped, visible), { maxLength: 5 }).map((parts) => `/${parts.join('/')}`),
  },
);

const authorization = fc.oneof(
  { weight: 8, arbitrary: pick(...Object.keys(TOKENS)).map((name) => `Authorization: bearer <${name}>`) },
  {
    weight: 1,
    arbitrary: pick(
      'Authorization: Basic eDp5',
      'Authorization: bearer',
      'Authorization: Bearer  <root>',
      'authorization: BEARER <alice>',
    ),
  },
  { weight: 1, arbitrary: visible.map((text) => `Authorization: bearer ${text}`) },
);
const header = fc.oneof(
  pick(
    'User-Agent: CloudFoundryJavaClient/5',
    'Expect: 100-continue',
    'Expect: x',
    'Connection: close',
    'Connection: authorization, x',
  ),
  pick(
    'X-VCAP-Request-ID: a b',
    'X-Forwarded-For: 1.2.3.4',
    'Via: 1.1 edge',
    'Upgrade: h2c',
    'Cookie: a=b',
    'Range: bytes=0-1',
  ),
  pick(
    'X-HTTP-Method-Override: DELETE',
    'Accept-Encoding: gzip',
    'If-Match: *',
    'Origin: null',
    'traceparent: 00-x',
    'Accept: */*',
  ),
  fc.tuple(visible, visible).map(([name, value]) => `X-${name.replace(/[^\w-]/g, '')}: ${value}`),
  visible.map((value) => `User-Agent: ${value}`),
);

interface Parts {
  readonly method: string;
  readonly target: string;
  readonly lines: readonly string[];
  readonly body: string | undefined;
  readonly isChunked: boolean;
}

const lines = fc.array(header, { maxLength: 4 });
const body = fc.option(fc.oneof(latin1, fc.constant('{}'), fc.constant('x'.repeat(70_000))), {
  nil: undefined,
  freq: 3,
});

const anything = fc.record({
  method,
  target,
  lines: fc.tuple(fc.option(authorization), lines).map(([one, others]) => [...(one ? [one] : []), ...others]),
  body,
  isChunked: fc.boolean(),
});

/** What a client of today sends, give or take. */
const usual = fc.record({
  method: fc.constant('DELETE'),
  target: fc
    .tuple(pick(ALICES, MALLORYS), pick('bob', 'alice', 'nobody'), pick('', '?recursive=true'))
    .map(([org, id, tail]) => `${toTarget(org, id)}${tail}`),
  lines: fc
    .tuple(pick(...Object.keys(TOKENS)), lines)
    .map(([name, others]) => [`Authorization: bearer <${name}>`, ...others]),
  body: fc.constant(undefined),
  isChunked: fc.constant(false),
});

const wellFormed: fc.Arbitrary<Parts> = fc.oneof({ weight: 3, arbitrary: anything }, { weight: 1, arbitrary: usual });

const host = fc.oneof(
  { weight: 12, arbitrary: fc.constant('Host: h') },
  pick('Host: ', 'Host: xn--a', 'Host: 1.2.3.4.5', 'Host: a b', 'X: h', 'Host: h:99999', 'Host: [::1'),
);
const framing = pick(
  'Content-Length: 5',
  'Transfer-Encoding: x',
  'Content-Length: x',
  'Transfer-Encoding: chunked',
  ' folded',
  'X : y',
  'X: a\nY: b',
  'X: \0',
  ':',
);

/** Something else in place of something, at some place. */
const mutation = fc.tuple(
  fc.double({ min: 0, max: 1, noNaN: true }),
  fc.nat(20),
  fc.oneof(latin1, pick('\r\n', '\r\n\r\n', '\n', '\0', ' ', ':')),
);

const toWire = ({ method, target, lines, body, isChunked }: Parts, hostLine: string): string => {
  const framed =
    body === undefined ? [] : [isChunked ? 'Transfer-Encoding: chunked' : `Content-Length: ${body.length}`];
  const content = body === undefined ? '' : isChunked ? toChunks(body) : body;
  return `${[`${method} ${target} HTTP/1.1`, hostLine, ...lines, ...framed].join('\r\n')}\r\n\r\n${content}`;
};

const toChunks = (body: string) => `${body === '' ? '' : `${body.length.toString(16)}\r\n${body}\r\n`}0\r\n\r\n`;

/** Behind what may be half a request: it ends the head, or the body, and the connection. */
const GARBAGE = `\r\n\r\n${'GARBAGE '.repeat(30)}\r\n\r\n`;

const whole = wellFormed.map((parts) => toWire({ ...parts, lines: [...parts.lines, 'Connection: close'] }, 'Host: h'));

const broken = fc
  .record({
    parts: wellFormed,
    hostLine: host,
    odd: fc.option(oddMethod, { freq: 8 }),
    frame: fc.option(framing, { freq: 4 }),
    mutations: fc.array(mutation, { maxLength: 3 }),
  })
  .map(({ parts, hostLine, odd, frame, mutations }) => {
    const lines = frame === null ? parts.lines : [...parts.lines, frame];
    const wire = toWire({ ...parts, method: odd ?? parts.method, lines }, hostLine);
    const mutated = mutations.reduce((text, [where, length, put]) => {
      const at = Math.floor(where * text.length);
      return text.slice(0, at) + put + text.slice(at + length);
    }, wire);
    return mutated + GARBAGE;
  });

const onNode: fc.Arbitrary<Case> = fc.record({ hasOrigin: fc.boolean(), bytes: fc.oneof(whole, broken) });

const corpus = readCorpus<Case>('requests');

describe('a request', () => {
  const sieges = new Map<'node' | 'workerd', Siege>();
  beforeAll(async () => {
    for (const runtime of ['node', 'workerd'] as const) sieges.set(runtime, await openSiege(runtime));
  });
  // Nothing was written but JSON lines, each removal had its intent, the old server got nothing malformed.
  afterAll(async () => {
    for (const siege of sieges.values()) await siege.end();
  });

  it(
    'of any bytes gets an answer, and nobody is removed for whoever may not, on node',
    async () => {
      const siege = sieges.get('node') as Siege;
      await fc.assert(
        fc.asyncProperty(onNode, async ({ hasOrigin, bytes }) => {
          siege.forget();
          const { url } = await siege.holdover(toEnv(siege, hasOrigin));
          const { answers, rest } = readAnswers(await converse(url, toSent(bytes)), bytes.includes('HEAD'));
          // HTTP lets a client begin with empty lines, and end there.
          if (!/^[\r\n]*$/.test(bytes)) expect(answers.length, 'no answer').toBeGreaterThan(0);
          expect(rest).toBe('');
          judge(siege, bytes, answers);
        }),
        toBudget(RUNS.node, corpus),
      );
      // A property that never saw a removal would hold of a server that refuses everybody.
      expect(siege.backend.callsTo('remove').length).toBeGreaterThan(LEAST_REMOVALS.node);
    },
    FUZZ_TIMEOUT_MS,
  );

  it(
    'of any well-formed kind gets an answer, and nobody is removed for whoever may not, on workerd',
    async () => {
      const siege = sieges.get('workerd') as Siege;
      await fc.assert(
        fc.asyncProperty(wellFormed, async (parts) => {
          siege.forget();
          const { url } = await siege.holdover(toEnv(siege, true));
          // What is compressed for a client is the edge's (contract.test.ts).
          const lines = parts.lines.filter((line) => !line.startsWith('Accept-Encoding'));
          const headers = Object.fromEntries(lines.map((line) => line.split(': ', 2) as [string, string]));
          const { body, isChunked: chunked, target: found } = parts;
          // A URL is all that Workers get; the edge answers what is none.
          const sent = found.startsWith('/') && URL.canParse(`http://h${found}`) ? found : '/';
          const answer = await rawRequest(url, {
            method: parts.method,
            target: sent,
            headers: Object.fromEntries(Object.entries(headers).map(([name, value]) => [name, toSent(value)])),
            chunked,
            ...(body === undefined ? {} : { body }),
          });
          const isHead = parts.method === 'HEAD';
          const wire = { ...answer, body: answer.body.toString('utf8'), isHead };
          judge(siege, toWire(parts, 'Host: h'), [wire]);
        }),
        toBudget(RUNS.workerd, []),
      );
      expect(siege.backend.callsTo('remove').length).toBeGreaterThan(LEAST_REMOVALS.workerd);
    },
    FUZZ_TIMEOUT_MS,
  );
});

/** Half a request is ended by the client, and a connection that stays open behind its answer. */
const PATIENCE_MS = 1_000;

async function converse(url: string, bytes: string): Promise<string> {
  const client = openRawClient(url, bytes);
  const patience = setTimeout(() => client.socket.end(), PATIENCE_MS);
  await client.ended;
  clearTimeout(patience);
  return client.text();
}

const toEnv = (siege: Siege, hasOrigin: boolean) => (hasOrigin ? { LEGACY_ORIGIN_URL: siege.origin.url } : {});

const toSent = (bytes: string) => bytes.replace(/<(\w+)>/g, (text, name: string) => TOKENS[name] ?? text);

/** A credential and one user, who is nothing but a UUID. */
const REMOVAL = /^(\w+) [\da-f]{8}(?:-[\da-f]{4}){3}-[\da-f]{12}$/;

/** The invariants of one case. `siege` knows what has arrived behind Holdover since it began. */
function judge(siege: Siege, bytes: string, answers: readonly WireAnswer[]): void {
  for (const answer of answers) {
    const isOrigins =
      siege.origin.requests.length > 0 && answer.status === 200 && !answer.headers.has('x-vcap-request-id');
    if (!isOrigins) expect(findShapeFaults(answer)).toEqual([]);
    expect(answer.status, 'a fault of ours').toBeLessThan(500);
  }
  const may = Object.entries(MAY).flatMap(([name, credentials]) => (bytes.includes(`<${name}>`) ? credentials : []));
  const removed = siege.removals();
  expect(removed.filter((removal) => !may.includes(REMOVAL.exec(removal)?.[1] ?? ''))).toEqual([]);
  expect(siege.backend.callsTo('other')).toEqual([]);
  // A refused caller's removal never leaves; what has left was answered as done.
  expect(removed).toHaveLength(answers.filter(({ status }) => status === 201 || status === 204).length);
  for (const { method: asked, target: path } of siege.origin.requests) {
    expect(asked === 'DELETE' && isGuarded(path), `${asked} ${path} reached the old server`).toBe(false);
  }
}

/** Whether a lenient server would take it for the removal from an organization that has moved. */
function isGuarded(target: string): boolean {
  let path = target.replace(/[?#].*$/s, '');
  for (let layer = 0; layer < 3; layer += 1) path = path.replace(/%[0-7][\da-f]/gi, (text) => decodeURIComponent(text));
  const flat = path
    .replaceAll('\\', '/')
    .replace(/;[^/]*/g, '')
    .replace(/[?#\0].*$/s, '')
    .replace(/\/+/g, '/');
  const { pathname } = new URL(`http://h${flat.replace(/[^\x21-\x7e]/g, '_')}`);
  const [, found] = /^\/v2\/organizations\/([^/]+)\/users\/[^/]+\/?$/i.exec(pathname) ?? [];
  return found !== undefined && [ALICES, MALLORYS].includes(found);
}
