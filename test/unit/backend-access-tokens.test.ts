/** The credential's access token: fetched once, kept while it serves, replaced when it is refused. */
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { Transport } from '../../src/http/transport.ts';
import { createUndiciTransport } from '../../src/http/undici.ts';
import { openTestBackend, openWorkerScope, SECRET, type TestBackend, USER_ID } from '../support/backend-client.ts';
import {
  makeAccessToken,
  ORGANIZATION_ID,
  type ScriptedBackend,
  type Step,
  startScriptedBackend,
  toTokenStep,
} from '../support/scripted-backend.ts';

let backend: ScriptedBackend;
let client: TestBackend;
/** Added to the monotonic clock: how a test lets hours pass. */
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

const tokenOf = (claims?: object) => makeAccessToken(ORGANIZATION_ID, claims);
const tokensSent = () =>
  backend.callsTo('remove').map(({ headers }) => headers['authorization']?.slice('Bearer '.length));
const fetches = () => backend.callsTo('token').length;

describe('an access token', () => {
  it('is asked for with a form, as RFC 6749 has it', async () => {
    backend.play({ remove: [REMOVED] });
    client.credentials.set('main', { kind: 'client', clientId: 'key & id', clientSecret: 'a+b/c=%é' });
    await client.remove();
    const [call] = backend.callsTo('token');
    expect(call?.headers).toMatchObject({
      'content-type': 'application/x-www-form-urlencoded',
      accept: 'application/json',
    });
    expect(Object.fromEntries(new URLSearchParams(call?.body))).toEqual({
      grant_type: 'client_credentials',
      client_id: 'key & id',
      client_secret: 'a+b/c=%é',
    });
  });

  it('serves until shortly before it expires, and is refreshed while it still does', async () => {
    const [first, second] = [tokenOf(), tokenOf()];
    backend.play({ token: [toTokenStep(first, 3_600), toTokenStep(second, 3_600)], remove: [REMOVED] });
    await client.remove();
    passedMs = 3_200_000;
    await client.remove();
    expect(fetches()).toBe(1);
    passedMs = 3_350_000;
    await client.remove();
    await until(() => fetches() === 2);
    await client.remove();
    expect(tokensSent()).toEqual([first, first, first, second]);
    backend.verify();
  });

  it('serves on while the login service is down, and not a moment after it has expired', async () => {
    const first = tokenOf();
    backend.play({ token: [toTokenStep(first, 3_600), { status: 500, times: 'any' }], remove: [REMOVED] });
    await client.remove();
    passedMs = 3_400_000;
    expect(await client.remove()).toMatchObject({ outcome: 'removed' });
    passedMs = 3_595_000;
    expect(await client.remove()).toMatchObject({ outcome: 'refused', reason: 'unavailable', tries: 0 });
    expect(tokensSent()).toEqual([first, first]);
  });

  it.each<[string, unknown, number]>([
    ['is not there', undefined, 240],
    ['is no number', 'soon', 240],
    ['is negative', -1, 240],
    ['is null', null, 240],
    ['is text', '3600', 3_240],
  ])('serves a sane time where expires_in %s', async (_, expires_in, seconds) => {
    const token = { status: 200, body: { access_token: tokenOf(), token_type: 'bearer', expires_in } };
    backend.play({ token: [token, token], remove: [REMOVED] });
    await client.remove();
    passedMs = (seconds - 10) * 1_000;
    await client.remove();
    expect(fetches()).toBe(1);
    passedMs = (seconds + 60) * 1_000;
    await client.remove();
    expect(fetches()).toBe(2);
  });

  it('is fetched once for 50 requests at a time', async () => {
    backend.play({ token: [{ ...toTokenStep(tokenOf()), delayMs: 30 }], remove: [REMOVED] });
    const outcomes = await Promise.all(Array.from({ length: 50 }, () => client.remove()));
    expect(new Set(outcomes.map(({ outcome }) => outcome))).toEqual(new Set(['removed']));
    backend.verify();
  });

  it('is fetched once for 50 requests at a time where each has a scope of its own', async () => {
    backend.play({ token: [{ ...toTokenStep(tokenOf()), delayMs: 30 }], remove: [REMOVED] });
    const outcomes = await Promise.all(Array.from({ length: 50 }, () => client.remove({}, openWorkerScope())));
    expect(new Set(outcomes.map(({ outcome }) => outcome))).toEqual(new Set(['removed']));
    backend.verify();
  });

  it('is fetched by another request where the one that began was cancelled', async () => {
    const undici = createUndiciTransport({ connections: 4 });
    let cancelled = 0;
    const transport: Transport = (request) => {
      if (!request.url.endsWith('/token') || cancelled > 0) return undici.send(request);
      cancelled += 1;
      return new Promise(() => undefined);
    };
    const worker = openTestBackend(backend, { transport });
    backend.play({ remove: [REMOVED] });
    const leader = worker.remove({}, openWorkerScope());
    const follower = await worker.remove({}, openWorkerScope());
    expect(follower).toMatchObject({ outcome: 'removed' });
    expect(await leader).toMatchObject({ outcome: 'refused', reason: 'unavailable', tries: 0 });
    await undici.close();
    await worker.close();
  });
});

describe('no access token, and nothing is sent', () => {
  it.each<[string, Step]>([
    ['an error', { status: 401, body: { error: 'access_denied' } }],
    ['a redirect', { status: 307, headers: { location: '/v1/organization' } }],
    ['another success', { ...toTokenStep(tokenOf()), status: 201 }],
    ['HTML', { status: 200, body: '<html>' }],
    ['nothing', { status: 200 }],
    ['no token', { status: 200, body: { token_type: 'Bearer', expires_in: 3_600 } }],
    ['an empty token', toTokenStep('')],
    ['a token that is no text', { status: 200, body: { access_token: 1 } }],
    ['a token with a line end', toTokenStep('a\r\nX-Evil: 1')],
    ['a token of another type', { status: 200, body: { access_token: tokenOf(), token_type: 'mac' } }],
    ['a token without end', toTokenStep('x'.repeat(70_000))],
    ['a reset', { fault: 'reset' }],
    ['half an answer', { ...toTokenStep(tokenOf()), fault: 'cut', afterBytes: 100 }],
  ])('where the token endpoint answers with %s', async (_, step) => {
    backend.play({ token: [step] });
    expect(await client.remove()).toMatchObject({ outcome: 'refused', reason: 'unavailable', tries: 0 });
    backend.verify();
    expect(JSON.stringify(client.logged)).not.toContain(SECRET);
  });

  it('before the deadline', async () => {
    const hurried = openTestBackend(backend, { timeoutMs: 100 });
    backend.play({ token: [{ fault: 'stall' }] });
    const began = performance.now();
    expect(await hurried.remove()).toMatchObject({ outcome: 'refused', reason: 'unavailable', tries: 0 });
    expect(performance.now() - began).toBeLessThan(1_000);
    await hurried.close();
  });

  it('again within a second of a failure, but after it', async () => {
    backend.play({ token: [{ status: 500 }], remove: [REMOVED] });
    for (let request = 0; request < 5; request += 1) await client.remove();
    backend.verify();
    passedMs = 1_001;
    backend.play({ remove: [REMOVED] });
    expect(await client.remove()).toMatchObject({ outcome: 'removed' });
  });

  it.each(['nobody', 'constructor', '__proto__', ''])('for a credential that is not there: %j', async (credential) => {
    backend.play({});
    expect(await client.remove({ credential })).toMatchObject({ outcome: 'refused', reason: 'unavailable', tries: 0 });
    expect(backend.calls).toEqual([]);
  });
});

describe('a token that the backend refuses', () => {
  const refusing = (good: Set<string>) => (call: { endpoint: string; headers: Record<string, string> }) => {
    if (call.endpoint !== 'remove') return undefined;
    return good.has(call.headers['authorization']?.slice('Bearer '.length) ?? '')
      ? { status: 204 }
      : { status: 401, delayMs: 5 };
  };

  it('is replaced by one fetch for 50 requests at a time', async () => {
    backend.play({ remove: [REMOVED] });
    await client.remove();
    const fresh = tokenOf();
    const answer = refusing(new Set([fresh]));
    backend.play((call) => (call.endpoint === 'token' ? { ...toTokenStep(fresh), delayMs: 20 } : answer(call)));
    const outcomes = await Promise.all(Array.from({ length: 50 }, () => client.remove()));
    expect(new Set(outcomes.map(({ outcome }) => outcome))).toEqual(new Set(['removed']));
    expect(fetches()).toBe(1);
  });

  it('is replaced at most once in 10 seconds', async () => {
    backend.play((call) => refusing(new Set())(call));
    for (let request = 0; request < 5; request += 1) {
      expect(await client.remove()).toMatchObject({ outcome: 'refused', reason: 'credential-refused' });
    }
    expect(fetches()).toBe(2);
    passedMs = 9_900;
    await client.remove();
    expect(fetches()).toBe(2);
    passedMs = 10_100;
    await client.remove();
    expect(fetches()).toBe(3);
  });
});

describe('a credential that changes', () => {
  it('takes effect at once', async () => {
    backend.play({ remove: [REMOVED] });
    await client.remove();
    client.credentials.set('main', { kind: 'client', clientId: 'key-main', clientSecret: 'rotated' });
    await client.remove();
    expect(backend.callsTo('token').map(({ body }) => new URLSearchParams(body).get('client_secret'))).toEqual([
      SECRET,
      'rotated',
    ]);
    client.credentials.set('main', { kind: 'token', token: 'static-1' });
    await client.remove();
    client.credentials.set('main', { kind: 'token', token: 'static-2' });
    await client.remove();
    expect(tokensSent().slice(2)).toEqual(['static-1', 'static-2']);
    client.credentials.delete('main');
    expect(await client.remove()).toMatchObject({ outcome: 'refused', reason: 'unavailable', tries: 0 });
  });

  it('keeps its token where the file was written again with the same secret', async () => {
    backend.play({ remove: [REMOVED] });
    await client.remove();
    client.credentials.set('main', { kind: 'client', clientId: 'key-main', clientSecret: SECRET });
    await client.remove();
    expect(fetches()).toBe(1);
  });

  it('never gets the token that was being fetched for the secret before', async () => {
    const [before, after] = [tokenOf(), tokenOf()];
    backend.play(({ endpoint, body }) => {
      if (endpoint === 'remove') return { status: 204 };
      if (endpoint !== 'token') return undefined;
      return body.includes('rotated') ? toTokenStep(after) : { ...toTokenStep(before), delayMs: 100 };
    });
    const early = client.remove();
    client.credentials.set('main', { kind: 'client', clientId: 'key-main', clientSecret: 'rotated' });
    await client.remove();
    await early;
    await client.remove({ userId: USER_ID });
    expect(tokensSent()).toEqual([after, before, after]);
  });

  it('is not asked for again where it was static and is refused, until it changes', async () => {
    client.credentials.set('main', { kind: 'token', token: 'static-1' });
    backend.play(({ endpoint, headers }) => {
      if (endpoint !== 'remove') return undefined;
      return headers['authorization'] === 'Bearer static-2' ? { status: 204 } : { status: 401 };
    });
    expect(await client.remove()).toMatchObject({ reason: 'credential-refused', tries: 1 });
    client.credentials.set('main', { kind: 'token', token: 'static-2' });
    expect(await client.remove()).toMatchObject({ outcome: 'removed', tries: 1 });
  });
});

async function until(isSo: () => boolean): Promise<void> {
  while (!isSo()) await new Promise((resolve) => setTimeout(resolve, 5));
}
