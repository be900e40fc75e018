/** The backend client while the backend breaks: repeats, breaker, slots, and never a success that is none. */
import fc from 'fast-check';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { type Transport, TransportError } from '../../src/http/transport.ts';
import { createUndiciTransport } from '../../src/http/undici.ts';
import { openTestBackend, openWorkerScope, type TestBackend, USER_ID } from '../support/backend-client.ts';
import { type ScriptedBackend, type Step, startScriptedBackend, toWire } from '../support/scripted-backend.ts';

let backend: ScriptedBackend;
let client: TestBackend;
let passedMs: number;
const monotonicMs = () => performance.now() + passedMs;
beforeAll(async () => {
  backend = await startScriptedBackend();
});
afterAll(() => backend.close());
beforeEach(() => {
  passedMs = 0;
  client = openTestBackend(backend, { monotonicMs });
});
afterEach(() => client.close());

const REMOVED: Step = { status: 204, times: 'any' };

/** A jitter whose wait no deadline allows: one try is all there is. */
const NO_REPEAT = () => 1e6;

const OUTAGES: [string, Step][] = [
  ['502', { status: 502 }],
  ['503', { status: 503, body: '<p>' }],
  ['504', { status: 504, body: { message: 'm' } }],
  ['a reset', { fault: 'reset' }],
  ['an answer that is cut', { status: 204, fault: 'cut', afterBytes: 12 }],
  ['what is not HTTP', { raw: 'no\r\n\r\n' }],
];

describe.each(OUTAGES)('%s', (_, outage) => {
  it('is repeated until it works', async () => {
    backend.play({ remove: [outage, outage, { status: 204 }] });
    expect(await client.remove()).toMatchObject({ outcome: 'removed', tries: 3 });
    backend.verify();
  });

  it('is repeated twice and no more', async () => {
    backend.play({ remove: [outage, outage, outage] });
    expect(await client.remove()).toMatchObject({ outcome: 'unknown', reason: 'unavailable', tries: 3 });
    backend.verify();
  });

  it('is not repeated beyond the deadline', async () => {
    const hurried = openTestBackend(backend, { random: NO_REPEAT });
    backend.play({ remove: [outage] });
    expect(await hurried.remove()).toMatchObject({ outcome: 'unknown', tries: 1 });
    backend.verify();
    await hurried.close();
  });
});

it('a refused connection is repeated, and ends as unknown', async () => {
  const gone = await startScriptedBackend();
  const orphan = openTestBackend(gone);
  gone.play({ remove: [{ status: 204 }] });
  await orphan.remove();
  await gone.close();
  expect(await orphan.remove()).toMatchObject({
    outcome: 'unknown',
    reason: 'unavailable',
    tries: 3,
    backendStatus: undefined,
  });
  await orphan.close();
});

it('a 404 after a connection that was refused is no trace of an earlier try: the member list must say', async () => {
  const undici = createUndiciTransport({ connections: 1 });
  let refused = 0;
  const transport: Transport = async (request) => {
    if (request.method !== 'DELETE' || refused > 0) return undici.send(request);
    refused += 1;
    throw new TransportError('connect');
  };
  const subject = openTestBackend(backend, { transport });
  const list = { count: 1, meta: { total: 1 }, members: [{ id: USER_ID }] };
  backend.play({ remove: [{ status: 404, body: { message: 'm' } }], members: [{ status: 200, body: list }] });
  expect(await subject.remove()).toMatchObject({ outcome: 'unknown', tries: 2, backendStatus: 404 });
  backend.verify();
  await subject.close();
  await undici.close();
});

it('repeats keep to two over a token that is refused on the way', async () => {
  backend.play({ remove: [{ status: 503 }, { status: 401 }, { status: 503 }, { status: 503 }] });
  expect(await client.remove()).toMatchObject({ outcome: 'unknown', tries: 4, backendStatus: 503 });
  backend.verify();
});

it('repeats stop when they exceed a fifth of all calls', async () => {
  const failing = '00000000-0000-4000-8000-00000000dead';
  backend.play(({ endpoint, target }) => {
    if (endpoint !== 'remove') return undefined;
    return target.endsWith(failing) ? { status: 503 } : { status: 204 };
  });
  const began = performance.now();
  let calls = 0;
  for (let round = 0; round < 30; round += 1) {
    // Successes between the failures, so that the breaker stays closed.
    await Promise.all([
      client.remove({ userId: failing }),
      client.remove({ userId: failing }),
      client.remove(),
      client.remove(),
    ]);
    calls += 4;
  }
  const repeats = backend.callsTo('remove').length - calls;
  const seconds = (performance.now() - began) / 1_000;
  expect(repeats).toBeGreaterThan(0.2 * calls);
  expect(repeats).toBeLessThanOrEqual(20 + 0.2 * calls + 10 * seconds);
  expect(repeats).toBeLessThan(120);
});

describe('the breaker', () => {
  const failTimes = async (step: Step, times: number) => {
    backend.play({ remove: [{ ...step, times: 'any' }] });
    const timeoutMs = step.fault === 'stall' ? 50 : 5_000;
    const hasty = openTestBackend(backend, { timeoutMs, random: NO_REPEAT, monotonicMs });
    for (let request = 0; request < times; request += 1) await hasty.remove();
    return hasty;
  };

  it.each<[string, Step]>([...OUTAGES, ['a time-out', { fault: 'stall' }]])(
    'opens after ten times %s, and then costs nothing',
    async (_, step) => {
      const hasty = await failTimes(step, 9);
      expect(hasty.status().breaker).toBe('closed');
      await hasty.remove();
      expect(hasty.status().breaker).toBe('open');
      const sent = backend.calls.length;
      expect(await hasty.remove()).toMatchObject({ outcome: 'refused', reason: 'unavailable', tries: 0 });
      expect(backend.calls.length).toBe(sent);
      await hasty.close();
    },
  );

  it('lets one probe through after a second, and closes when that succeeds', async () => {
    const hasty = await failTimes({ status: 503 }, 10);
    passedMs += 1_001;
    backend.play({ remove: [{ status: 204, delayMs: 10 }] });
    const outcomes = await Promise.all(Array.from({ length: 20 }, () => hasty.remove()));
    expect(outcomes.filter(({ outcome }) => outcome === 'removed')).toHaveLength(1);
    expect(outcomes.filter(({ outcome, tries }) => outcome === 'refused' && tries === 0)).toHaveLength(19);
    backend.verify();
    expect(hasty.status().breaker).toBe('closed');
    await hasty.close();
  });

  it('opens again when the probe fails', async () => {
    const hasty = await failTimes({ status: 503 }, 10);
    passedMs += 1_001;
    expect(await hasty.remove()).toMatchObject({ outcome: 'unknown', tries: 1 });
    expect(await hasty.remove()).toMatchObject({ outcome: 'refused', tries: 0 });
    await hasty.close();
  });

  it.each([200, 400, 401, 403, 404, 409, 429, 500])('never opens over a backend that answers %i', async (status) => {
    const hasty = await failTimes({ status }, 15);
    expect(hasty.status().breaker).toBe('closed');
    await hasty.close();
  });

  it('counts only failures in a row', async () => {
    const hasty = await failTimes({ status: 503 }, 9);
    backend.play({ remove: [{ status: 204 }, { status: 503, times: 'any' }] });
    for (let request = 0; request < 10; request += 1) await hasty.remove();
    expect(hasty.status().breaker).toBe('closed');
    await hasty.close();
  });

  it('leaves what a limit said standing when it opens during the wait', async () => {
    const limited = '00000000-0000-4000-8000-000000000429';
    backend.play(({ endpoint, target }) => {
      if (endpoint !== 'remove') return undefined;
      return target.endsWith(limited) ? { status: 429, headers: { 'retry-after': '1' } } : { status: 503 };
    });
    const waiting = client.remove({ userId: limited });
    while (backend.callsTo('remove').length === 0) await new Promise((resolve) => setTimeout(resolve, 5));
    await Promise.all(Array.from({ length: 10 }, () => client.remove()));
    expect(client.status().breaker).toBe('open');
    expect(await waiting).toMatchObject({ outcome: 'refused', reason: 'rate-limited', tries: 1, backendStatus: 429 });
  });

  it('leaves what was known of a removal standing when it opens between two tries', async () => {
    const hasty = await failTimes({ status: 503 }, 9);
    await hasty.close();
    const patient = openTestBackend(backend, { monotonicMs });
    for (let request = 0; request < 3; request += 1) await patient.remove();
    expect(await patient.remove()).toMatchObject({ outcome: 'unknown', tries: 1, backendStatus: 503 });
    await patient.close();
  });
});

it('survives a backend that drops its idle connections whenever one is used', async () => {
  backend.play({ remove: [REMOVED] });
  await client.remove();
  for (let request = 0; request < 40; request += 1) {
    // What the repeats cost is saved up again: it is not their number that is tested here.
    passedMs += 1_000;
    backend.closeIdle();
    expect(await client.remove()).toMatchObject({ outcome: 'removed' });
  }
  expect(backend.connectionsOpened).toBeGreaterThan(40);
});

describe.each([
  ['Node', () => undefined],
  ['Workers', openWorkerScope],
])('no more calls are in flight than BACKEND_CONCURRENCY, on %s', (_, openScope) => {
  it('and everybody is served within the deadline', async () => {
    const capped = openTestBackend(backend, { concurrency: 4 });
    backend.play({ remove: [{ ...REMOVED, delayMs: 5 }] });
    const outcomes = await Promise.all(Array.from({ length: 60 }, () => capped.remove({}, openScope())));
    expect(new Set(outcomes.map(({ outcome }) => outcome))).toEqual(new Set(['removed']));
    expect(backend.mostConcurrent).toBe(4);
    expect(capped.status()).toEqual({ breaker: 'closed', inFlight: 0 });
    await capped.close();
  });

  it('and who finds none to repeat a call keeps the answer that came', async () => {
    const capped = openTestBackend(backend, { concurrency: 1, timeoutMs: 1_500 });
    const busy: Step = { status: 429, headers: { 'retry-after': '1' }, body: { message: 'm' } };
    backend.play({ remove: [busy, { fault: 'stall' }] });
    const first = capped.remove({}, openScope());
    await new Promise((resolve) => setTimeout(resolve, 200));
    const stalled = capped.remove({}, openScope());
    expect(await first).toMatchObject({ outcome: 'refused', reason: 'rate-limited', tries: 1 });
    expect(await stalled).toMatchObject({ outcome: 'unknown', tries: 1 });
    expect(capped.status().inFlight).toBe(0);
    await capped.close();
  });

  it('and who is not served by then has sent nothing, and takes no slot along', async () => {
    const capped = openTestBackend(backend, { concurrency: 1, timeoutMs: 200 });
    backend.play({ remove: [{ fault: 'stall' }, REMOVED] });
    const stalled = capped.remove({}, openScope());
    await new Promise((resolve) => setTimeout(resolve, 50));
    const began = performance.now();
    const late = capped.remove({}, openScope());
    expect(await stalled).toMatchObject({ outcome: 'unknown', tries: 1 });
    // The slot is free 150 ms after the second came, whose own deadline allows it one call.
    expect(await late).toMatchObject({ outcome: 'removed', tries: 1 });
    expect(performance.now() - began).toBeLessThan(1_000);
    expect(capped.status().inFlight).toBe(0);
    await capped.close();
  });
});

it('takes back the slot of a request that was cancelled in the middle', async () => {
  const asks: string[] = [];
  const transport: Transport = (request) => {
    asks.push(request.method);
    if (request.method === 'POST')
      return Promise.resolve({
        status: 200,
        header: () => undefined,
        body: '{"access_token":"t"}',
        isTruncated: false,
      });
    if (request.method === 'GET')
      return Promise.resolve({ status: 200, header: () => undefined, body: '{"id":"o"}', isTruncated: false });
    const isFirst = asks.filter((method) => method === 'DELETE').length === 1;
    return isFirst
      ? new Promise(() => undefined)
      : Promise.resolve({ status: 204, header: () => undefined, body: '', isTruncated: false });
  };
  const capped = openTestBackend(backend, { concurrency: 1, transport, monotonicMs });
  const removal = { organizationId: 'o' };
  capped.remove(removal, openWorkerScope());
  while (!asks.includes('DELETE')) await new Promise((resolve) => setTimeout(resolve, 5));
  const next = capped.remove(removal, openWorkerScope());
  await new Promise((resolve) => setTimeout(resolve, 30));
  expect(asks.filter((method) => method === 'DELETE')).toHaveLength(1);
  passedMs += 6_100;
  expect(await capped.remove(removal, openWorkerScope())).toMatchObject({ outcome: 'removed' });
  expect(await next).toMatchObject({ outcome: 'refused', tries: 0 });
  await capped.close();
});

it('keeps one deadline over token, organization, removal and list', async () => {
  const hurried = openTestBackend(backend, { timeoutMs: 300 });
  hurried.credentials.set('main', { kind: 'token', token: 'opaque' });
  const organization: Step = { status: 200, body: { id: '5b0c7c5e-3b1f-4a8e-9d53-2f0f3a3f6f10' }, delayMs: 120 };
  backend.play({
    organization: [organization],
    remove: [{ status: 404, body: { message: 'm' }, delayMs: 120 }],
    members: [{ fault: 'stall' }],
  });
  const began = performance.now();
  expect(await hurried.remove()).toMatchObject({ outcome: 'unknown', tries: 1 });
  const tookMs = performance.now() - began;
  expect(tookMs).toBeGreaterThan(290);
  expect(tookMs).toBeLessThan(450);
  await hurried.close();
});

it('never rejects, whatever breaks', async () => {
  const broken = openTestBackend(backend, {
    transport: ({ method }) => {
      if (method === 'DELETE') throw new TypeError('boom');
      return Promise.resolve({
        status: 200,
        header: () => undefined,
        body: '{"access_token":"t","id":"o"}',
        isTruncated: false,
      });
    },
  });
  expect(await broken.remove({ organizationId: 'o' })).toMatchObject({
    outcome: 'unknown',
    reason: 'unavailable',
    tries: 1,
  });
  expect(broken.logged.join()).toContain('boom');
  expect(broken.status().inFlight).toBe(0);
  await broken.close();
});

describe('the commit point', () => {
  const GONE: Step[] = [
    { status: 404, body: { type: 'urn:aerospike:errors:resource:not-found', title: 'T', status: 404, message: 'm' } },
    { status: 404, body: { message: 'm' } },
  ];
  const COMMITS: Step[] = [
    { status: 204, headers: { 'x-request-id': 'b' } },
    { status: 200, body: { id: 'x' } },
  ];

  const NOBODY: Step = { status: 200, body: { count: 0, meta: { total: 0, limit: 100, offset: 0 }, members: [] } };

  /** One removal for each byte of the answer where the backend can break off, each with a client and a user of its own. */
  async function breakOffEverywhere(commit: Step, toNext: (afterBytes: number) => Step) {
    const cases = Array.from({ length: toWire(commit).length }, (_, afterBytes) => afterBytes).flatMap((afterBytes) =>
      (['cut', 'reset'] as const).map((fault) => ({ fault, afterBytes, userId: crypto.randomUUID() })),
    );
    const begun = new Set<string>();
    backend.play(({ endpoint, target }) => {
      const found = cases.find(({ userId }) => target.endsWith(userId));
      if (endpoint === 'members') return NOBODY;
      if (endpoint !== 'remove' || found === undefined) return undefined;
      if (begun.has(found.userId)) return toNext(found.afterBytes);
      begun.add(found.userId);
      return { ...commit, fault: found.fault, afterBytes: found.afterBytes };
    });
    return Promise.all(
      cases.map(async ({ userId, fault, afterBytes }) => {
        const subject = openTestBackend(backend);
        const { outcome, tries } = await subject.remove({ userId });
        await subject.close();
        return `${fault} after ${afterBytes}: ${outcome} in ${tries}`;
      }),
    );
  }

  it.each(COMMITS)('a backend that removes and breaks off at any byte of its %j is understood', async (commit) => {
    const ends = await breakOffEverywhere(commit, (afterBytes) => GONE[afterBytes % 2] as Step);
    expect(ends.filter((end) => !end.endsWith('removed in 2'))).toEqual([]);
    expect(ends.length).toBe(2 * toWire(commit).length);
  });

  it.each(COMMITS)(
    'a backend that breaks off at any byte of its %j, and then is gone, is not believed',
    async (commit) => {
      const ends = await breakOffEverywhere(commit, () => ({ status: 503 }));
      expect(ends.filter((end) => !end.endsWith('unknown in 3'))).toEqual([]);
    },
  );
});

/** What a backend that tells the truth may do with one DELETE: run it or not, and then answer, or fail to. */
interface Turn {
  readonly runs: boolean;
  readonly ends: 'answers' | 'resets' | 'cuts' | 'gateway' | 'refuses' | 'limits' | 'forbids' | 'breaks';
  readonly afterBytes: number;
  readonly generation: 1 | 2;
}

it('for every schedule of faults: a success only if the user is gone, and where the user is gone repeats end in success', async () => {
  const turn: fc.Arbitrary<Turn> = fc.record({
    runs: fc.boolean(),
    ends: fc.constantFrom('answers', 'resets', 'cuts', 'gateway', 'refuses', 'limits', 'forbids', 'breaks'),
    afterBytes: fc.nat(60),
    generation: fc.constantFrom(1, 2),
  });
  await fc.assert(
    fc.asyncProperty(
      fc.array(turn, { maxLength: 5 }),
      fc.boolean(),
      fc.boolean(),
      async (turns, wasMember, listsAll) => {
        const everybody = new Set(['00000000-0000-4000-8000-000000000001']);
        if (wasMember) everybody.add(USER_ID);
        const schedule = [...turns];
        backend.play(({ endpoint }) => {
          if (endpoint === 'members') {
            const list = [...everybody].map((id) => ({ id }));
            const total = listsAll ? list.length : list.length + 1;
            return { status: 200, body: { count: list.length, meta: { total }, members: list } };
          }
          if (endpoint !== 'remove') return undefined;
          const next = schedule.shift() ?? { runs: true, ends: 'answers', afterBytes: 0, generation: 2 };
          return playTurn(next, everybody);
        });
        const subject = openTestBackend(backend);
        const { outcome } = await subject.remove();
        const isSuccess = outcome === 'removed' || outcome === 'not_a_member';
        if (isSuccess) expect(everybody.has(USER_ID)).toBe(false);
        const isGone = !everybody.has(USER_ID);
        if (isGone && !isSuccess && listsAll) {
          schedule.length = 0;
          expect(['removed', 'not_a_member']).toContain((await subject.remove()).outcome);
        }
        await subject.close();
      },
    ),
    { seed: 20_260_103, numRuns: 150 },
  );
});

function playTurn({ runs, ends, afterBytes, generation }: Turn, everybody: Set<string>): Step {
  const error = (status: number, type: string): Step => ({
    status,
    body:
      generation === 1 ? { message: 'm' } : { type: `urn:aerospike:errors:${type}`, title: 'T', status, message: 'm' },
  });
  if (ends === 'refuses') return error(401, 'auth:token-expired');
  if (ends === 'limits') return error(429, 'ratelimit:exceeded');
  if (ends === 'forbids') return error(403, 'auth:unauthorized');
  if (!runs) {
    if (ends === 'breaks') return error(500, 'system:internal');
    return ends === 'gateway' ? { status: 503 } : { fault: 'reset' };
  }
  const truth: Step = everybody.delete(USER_ID)
    ? { status: 204, headers: { 'x-request-id': 'b' } }
    : error(404, 'resource:not-found');
  if (ends === 'resets') return { fault: 'reset' };
  if (ends === 'cuts') return { ...truth, fault: 'cut', afterBytes: Math.min(afterBytes, toWire(truth).length - 1) };
  if (ends === 'gateway') return { status: 504, body: '<p>' };
  return ends === 'breaks' ? error(500, 'system:internal') : truth;
}
