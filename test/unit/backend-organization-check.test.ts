/** A DELETE leaves only with a credential that has proved to be the right organization's. */
import fc from 'fast-check';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { NODE_SCOPE, openTestBackend, openWorkerScope, type TestBackend } from '../support/backend-client.ts';
import {
  makeAccessToken,
  ORGANIZATION_ID,
  type RecordedCall,
  type ScriptedBackend,
  type Step,
  startScriptedBackend,
  toTokenStep,
} from '../support/scripted-backend.ts';

let backend: ScriptedBackend;
let client: TestBackend;
let passedMs: number;
beforeAll(async () => {
  backend = await startScriptedBackend();
});
afterAll(() => backend.close());
beforeEach(() => {
  passedMs = 0;
  client = openTestBackend(backend, { monotonicMs: () => performance.now() + passedMs });
});
afterEach(() => client.close());

const REMOVED: Step = { status: 204, times: 'any' };
const OTHER_ORGANIZATION = 'another-organization';

describe('nothing is removed, and an error is logged, where', () => {
  it('the token claims another organization', async () => {
    backend.play({ token: [toTokenStep(makeAccessToken(OTHER_ORGANIZATION))] });
    expect(await client.remove()).toMatchObject({ outcome: 'refused', reason: 'unavailable', tries: 0 });
    expect(await client.remove()).toMatchObject({ outcome: 'refused', reason: 'unavailable', tries: 0 });
    backend.verify();
    expect(backend.calls.map(({ endpoint }) => endpoint)).toEqual(['token']);
    expect(client.logged.join()).toContain('another organization');
  });

  it('the backend names another organization', async () => {
    backend.play({
      token: [toTokenStep(makeAccessToken(undefined))],
      organization: [{ status: 200, body: { id: OTHER_ORGANIZATION } }],
    });
    expect(await client.remove()).toMatchObject({ outcome: 'refused', reason: 'unavailable', tries: 0 });
    expect(await client.remove()).toMatchObject({ outcome: 'refused', reason: 'unavailable', tries: 0 });
    backend.verify();
    expect(client.logged.join()).toContain('another organization');
  });

  it('the id differs by case alone, or by a space', async () => {
    for (const id of [ORGANIZATION_ID.toUpperCase(), `${ORGANIZATION_ID} `]) {
      client.credentials.set('main', { kind: 'token', token: makeAccessToken(id) });
      backend.play({});
      expect(await client.remove()).toMatchObject({ outcome: 'refused', tries: 0 });
      backend.verify();
    }
  });
});

describe('the backend is asked whose organization it is where', () => {
  it.each<[string, string]>([
    ['the token is opaque', 'opaque'],
    ['the claim is missing', makeAccessToken(undefined)],
    ['the claim is empty', makeAccessToken('')],
    ['the claim is no text', makeAccessToken(undefined, { 'dbaas.aerospike.com/org_id': [ORGANIZATION_ID] })],
    ['the payload is no JSON', `a.${Buffer.from('{').toString('base64url')}.b`],
    ['the payload is no object', `a.${Buffer.from('"x"').toString('base64url')}.b`],
  ])('%s', async (_, token) => {
    client.credentials.set('main', { kind: 'token', token });
    backend.play({ remove: [REMOVED], organization: [{ status: 200, body: { id: ORGANIZATION_ID } }] });
    expect(await client.remove()).toMatchObject({ outcome: 'removed' });
    expect(await client.remove()).toMatchObject({ outcome: 'removed' });
    backend.verify();
    expect(backend.callsTo('organization')[0]?.headers['authorization']).toBe(`Bearer ${token}`);
  });

  it('50 requests want to know, once', async () => {
    client.credentials.set('main', { kind: 'token', token: 'opaque' });
    for (const openScope of [() => undefined, openWorkerScope]) {
      client.credentials.set('main', { kind: 'token', token: `opaque-${openScope.name}` });
      backend.play({ remove: [REMOVED], organization: [{ status: 200, body: { id: ORGANIZATION_ID }, delayMs: 30 }] });
      const outcomes = await Promise.all(Array.from({ length: 50 }, () => client.remove({}, openScope())));
      expect(new Set(outcomes.map(({ outcome }) => outcome))).toEqual(new Set(['removed']));
      backend.verify();
    }
  });
});

describe('nothing is removed where the backend does not say whose organization it is', () => {
  it.each<[string, Step]>([
    ['an error', { status: 500, body: { message: 'm' } }],
    ['forbidden', { status: 403, body: { message: 'm' } }],
    ['not found', { status: 404, body: { message: 'm' } }],
    ['a redirect', { status: 302, headers: { location: '/' } }],
    ['another success', { status: 202, body: { id: ORGANIZATION_ID } }],
    ['HTML', { status: 200, body: '<html>' }],
    ['no id', { status: 200, body: { name: 'Acme' } }],
    ['an empty id', { status: 200, body: { id: '' } }],
    ['an id that is no text', { status: 200, body: { id: [ORGANIZATION_ID] } }],
    ['a list', { status: 200, body: [{ id: ORGANIZATION_ID }] }],
    ['too much', { status: 200, body: { id: ORGANIZATION_ID, name: 'x'.repeat(70_000) } }],
    ['half an answer', { status: 200, body: { id: ORGANIZATION_ID }, fault: 'stall', afterBytes: 60 }],
  ])('%s', async (_, step) => {
    const hurried = openTestBackend(backend, { timeoutMs: 200 });
    hurried.credentials.set('main', { kind: 'token', token: 'opaque' });
    backend.play({ organization: [step] });
    expect(await hurried.remove()).toMatchObject({ outcome: 'refused', reason: 'unavailable', tries: 0 });
    expect(await hurried.askOrganization('main', NODE_SCOPE)).toMatchObject({ ok: false });
    backend.verify();
    await hurried.close();
  });

  it('and it is asked again after a second, not sooner', async () => {
    client.credentials.set('main', { kind: 'token', token: 'opaque' });
    backend.play({ organization: [{ status: 500 }] });
    for (let request = 0; request < 5; request += 1) expect(await client.remove()).toMatchObject({ tries: 0 });
    backend.verify();
    passedMs = 1_001;
    backend.play({ remove: [REMOVED] });
    expect(await client.remove()).toMatchObject({ outcome: 'removed' });
  });
});

it('a token that the backend refuses at the check is replaced once, like any other', async () => {
  const [stale, fresh] = [makeAccessToken(undefined), makeAccessToken(undefined)];
  backend.play({
    token: [toTokenStep(stale), toTokenStep(fresh)],
    organization: [{ status: 401 }, { status: 200, body: { id: ORGANIZATION_ID } }],
    remove: [{ status: 204 }],
  });
  expect(await client.remove()).toMatchObject({ outcome: 'removed', tries: 1 });
  backend.verify();
});

it('a refreshed token is checked before it is used', async () => {
  backend.play({
    token: [toTokenStep(makeAccessToken(ORGANIZATION_ID)), toTokenStep(makeAccessToken(OTHER_ORGANIZATION))],
    remove: [{ status: 401 }],
  });
  expect(await client.remove()).toMatchObject({ outcome: 'refused', reason: 'unavailable', tries: 1 });
  backend.verify();
});

it('a static token is checked again when the file changes', async () => {
  client.credentials.set('main', { kind: 'token', token: makeAccessToken(ORGANIZATION_ID) });
  backend.play({ remove: [{ status: 204 }] });
  expect(await client.remove()).toMatchObject({ outcome: 'removed' });
  client.credentials.set('main', { kind: 'token', token: makeAccessToken(OTHER_ORGANIZATION) });
  expect(await client.remove()).toMatchObject({ outcome: 'refused', tries: 0 });
  backend.verify();
});

it('whatever tokens come and go, no DELETE is ever sent with a token of another organization than its record names', async () => {
  const organization = fc.constantFrom('org-a', 'org-b', 'org-c');
  const grant = fc.record({ organization, isClaimed: fc.boolean(), isRefusedLater: fc.boolean() });
  const request = fc.record({
    organization,
    credential: fc.constantFrom('one', 'two'),
    atMs: fc.nat(8),
    isWorker: fc.boolean(),
  });
  await fc.assert(
    fc.asyncProperty(
      fc.array(grant, { minLength: 1, maxLength: 6 }),
      fc.array(request, { minLength: 1, maxLength: 12 }),
      async (grants, requests) => {
        const organizationOf = new Map<string, string>();
        let granted = 0;
        const refused = new Set<string>();
        const answer = ({ endpoint, headers }: RecordedCall): Step | undefined => {
          if (endpoint === 'token') {
            const {
              organization: id,
              isClaimed,
              isRefusedLater,
            } = grants[granted++ % grants.length] as (typeof grants)[number];
            const token = makeAccessToken(isClaimed ? id : undefined);
            organizationOf.set(token, id);
            if (isRefusedLater) refused.add(token);
            return { ...toTokenStep(token, 1), delayMs: granted % 3 };
          }
          const token = headers['authorization']?.slice('Bearer '.length) ?? '';
          if (endpoint === 'organization') return { status: 200, body: { id: organizationOf.get(token) }, delayMs: 2 };
          return refused.has(token) ? { status: 401 } : { status: 204 };
        };
        const subject = openTestBackend(backend);
        for (const name of ['one', 'two'])
          subject.credentials.set(name, { kind: 'client', clientId: name, clientSecret: 's' });
        backend.play(answer);
        const wanted = new Map<string, string>();
        await Promise.all(
          requests.map(async ({ organization: organizationId, credential, atMs, isWorker }) => {
            await new Promise((resolve) => setTimeout(resolve, atMs));
            const requestId = crypto.randomUUID();
            wanted.set(requestId, organizationId);
            await subject.remove({ organizationId, credential, requestId }, isWorker ? openWorkerScope() : undefined);
          }),
        );
        for (const { headers } of backend.callsTo('remove')) {
          const token = headers['authorization']?.slice('Bearer '.length) ?? '';
          expect(organizationOf.get(token)).toBe(wanted.get(headers['x-request-id'] ?? ''));
        }
        await subject.close();
      },
    ),
    { seed: 20_260_101, numRuns: 60 },
  );
});
