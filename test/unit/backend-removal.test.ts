/** Every row of the table in decisions.md, section 6, against a real server. Repeats and outages: `test/fault/backend.test.ts`. */
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import {
  NODE_SCOPE,
  OTHER_USER_ID,
  openTestBackend,
  REQUEST_ID,
  SECRET,
  type TestBackend,
  USER_ID,
} from '../support/backend-client.ts';
import {
  ORGANIZATION_ID,
  type Script,
  type ScriptedBackend,
  type Step,
  startScriptedBackend,
} from '../support/scripted-backend.ts';

let backend: ScriptedBackend;
let client: TestBackend;
beforeAll(async () => {
  backend = await startScriptedBackend();
});
afterAll(() => backend.close());
beforeEach(() => {
  client = openTestBackend(backend);
});
afterEach(() => client.close());

function problem(status: number, type: string, more: object = {}): Step {
  const body = { type: `urn:aerospike:errors:${type}`, title: 'T', status, detail: 'd', message: 'd', ...more };
  return { status, headers: { 'content-type': 'application/problem+json', 'x-request-id': 'b-1' }, body };
}

function message(status: number, body: object = { message: 'm' }): Step {
  return { status, headers: { 'x-request-id': 'b-1' }, body };
}

function members(ids: readonly string[], more: object = {}): Step {
  const meta = { total: ids.length, limit: 100, offset: 0 };
  return { status: 200, body: { count: ids.length, meta, members: ids.map((id) => ({ id })), ...more } };
}

async function play(script: Script) {
  backend.play(script);
  const outcome = await client.remove();
  backend.verify();
  return outcome;
}

describe('the call', () => {
  it('is DELETE /organization/members/{userId}, with the credential, our request id and a trace', async () => {
    await play({ remove: [{ status: 204 }] });
    const [call] = backend.callsTo('remove');
    expect(call).toMatchObject({ method: 'DELETE', target: `/v1/organization/members/${USER_ID}`, body: '' });
    expect(call?.headers).toMatchObject({
      authorization: expect.stringMatching(/^Bearer [\w-]+\.[\w-]+\.[\w-]+$/),
      accept: 'application/json, application/problem+json',
      'x-request-id': REQUEST_ID,
      traceparent: '00-3f0e1b9a5a0c4d8e9a510c7d1f6e2b40-9a510c7d1f6e2b40-00',
    });
  });

  it('passes a valid trace on, and begins its own in place of an invalid one', async () => {
    const valid = '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01';
    backend.play({ remove: [{ status: 204, times: 2 }] });
    await client.remove({ traceparent: valid });
    await client.remove({ traceparent: `${valid}\u00e9` });
    const [first, second] = backend.callsTo('remove').map(({ headers }) => headers['traceparent']);
    expect(first).toBe(valid);
    expect(second).toMatch(/^00-3f0e1b9a/);
  });

  it('never leaves for a user id that is no UUID', async () => {
    backend.play({});
    for (const userId of ['', '../../organization', `${USER_ID}/..`, `${USER_ID}%2f`, 'uaa-id-110', `${USER_ID}\n`]) {
      expect(await client.remove({ userId })).toMatchObject({
        outcome: 'refused',
        reason: 'user-id-invalid',
        tries: 0,
      });
    }
    expect(backend.calls).toEqual([]);
  });
});

describe('a removal ends as removed', () => {
  it.each<[string, Step]>([
    ['204', { status: 204 }],
    ['204 with a body all the same', { raw: 'HTTP/1.1 204 No Content\r\nContent-Length: 2\r\n\r\n{}' }],
    ['200 with an empty body', { status: 200 }],
    ['200 with white space', { status: 200, body: '\r\n' }],
    [
      '200 with a JSON object, whatever its type is said to be',
      { status: 200, headers: { 'content-type': 'text/html' }, body: '{"id":"x"}' },
    ],
  ])('after %s', async (_, step) => {
    expect(await play({ remove: [step] })).toMatchObject({ outcome: 'removed', tries: 1 });
  });

  it('with the ids of both sides', async () => {
    const outcome = await play({ remove: [{ status: 204, headers: { 'x-request-id': 'b-7' } }] });
    expect(outcome).toEqual({ outcome: 'removed', tries: 1, backendStatus: 204, backendRequestId: 'b-7' });
  });
});

describe('a 404 of the backend itself', () => {
  const OWN: [string, Step][] = [
    ['generation 2', problem(404, 'resource:not-found')],
    [
      'generation 2, naming the user',
      problem(404, 'resource:not-found', { context: { resource: 'user', id: USER_ID.toUpperCase() } }),
    ],
    ['generation 1', message(404)],
    ['generation 1 as text/plain', { ...message(404), headers: { 'content-type': 'text/plain' } }],
  ];

  it.each(OWN)('is a success where the member list shows that the user is not there (%s)', async (_, step) => {
    const outcome = await play({ remove: [step], members: [members([OTHER_USER_ID])] });
    expect(outcome).toMatchObject({ outcome: 'not_a_member', tries: 1, backendStatus: 404 });
    expect(backend.callsTo('members')[0]?.target).toBe('/v1/organization/members?limit=100&offset=0');
  });

  it.each(OWN)('is a success after a try whose answer was lost (%s)', async (_, step) => {
    // Still listed, too: the list lags behind.
    for (const list of [members([]), members([USER_ID])]) {
      const outcome = await play({ remove: [{ fault: 'reset' }, step], members: [list] });
      expect(outcome).toMatchObject({ outcome: 'removed', tries: 2, backendStatus: 404 });
    }
  });

  it.each(OWN)(
    'is not believed after a lost answer where the list cannot be read: a gateway sends as much (%s)',
    async (_, step) => {
      const outcome = await play({
        remove: [{ fault: 'reset' }, step],
        members: [{ status: 404, body: { message: 'no route' } }],
      });
      expect(outcome).toMatchObject({ outcome: 'unknown', reason: 'unavailable', tries: 2 });
    },
  );

  it.each(OWN)('is not believed where the user is still listed (%s)', async (_, step) => {
    const outcome = await play({ remove: [step], members: [members([OTHER_USER_ID, USER_ID.toUpperCase()])] });
    expect(outcome).toMatchObject({ outcome: 'unknown', reason: 'unavailable', tries: 1 });
  });

  it('is checked against the member list after a try that a gateway answered', async () => {
    const outcome = await play({ remove: [{ status: 504 }, message(404)], members: [members([])] });
    expect(outcome).toMatchObject({ outcome: 'not_a_member', tries: 2 });
  });
});

describe('any other 404 ends as unknown', () => {
  const FOREIGN: [string, Step][] = [
    ['HTML', { status: 404, headers: { 'content-type': 'text/html' }, body: '<h1>Not Found</h1>' }],
    ['empty', { status: 404 }],
    ['an array', { status: 404, body: '[{"message":"m"}]' }],
    ['an object without a message', { status: 404, body: { error: 'not found' } }],
    ['a message that is no text', { status: 404, body: { message: 404 } }],
    ['cut JSON', { status: 404, body: '{"message":"m"' }],
    ['longer than 64 KiB', { status: 404, body: { message: 'm'.repeat(70_000) } }],
    [
      "a gateway's problem details",
      { status: 404, body: { type: 'about:blank', title: 'Not Found', status: 404, message: 'm' } },
    ],
    [
      'problem details of somebody else',
      { status: 404, body: { type: 'urn:example:not-found', title: 'Not Found', status: 404 } },
    ],
    ['about the organization', problem(404, 'resource:not-found', { context: { resource: 'Organization' } })],
    [
      'about another resource',
      problem(404, 'resource:not-found', { context: { resource: 'operation', id: 'DELETE /x' } }),
    ],
    ['of another kind', problem(404, 'system:internal')],
  ];

  it.each(FOREIGN)('%s', async (_, step) => {
    expect(await play({ remove: [step] })).toMatchObject({ outcome: 'unknown', reason: 'unavailable', tries: 1 });
  });

  it.each(FOREIGN)('%s, after a lost answer', async (_, step) => {
    expect(await play({ remove: [{ fault: 'reset' }, step] })).toMatchObject({ outcome: 'unknown', tries: 2 });
  });
});

describe('a 400', () => {
  it.each(['/userId', 'userId'])('about %s refuses the user id', async (field) => {
    const step = problem(400, 'validation:failed', { context: { invalid: [{ field, type: 'urn:x' }] } });
    expect(await play({ remove: [step] })).toMatchObject({ outcome: 'refused', reason: 'user-id-invalid' });
  });

  it.each<[string, Step]>([
    [
      'generation 1, whatever it says',
      message(400, { message: 'userId', context: { invalid: [{ field: 'userId' }] } }),
    ],
    ['another field', problem(400, 'validation:failed', { context: { invalid: [{ field: '/limit' }] } })],
    ['members of the wrong type', problem(400, 'validation:failed', { context: { invalid: { field: '/userId' } } })],
    [
      'entries of the wrong type',
      problem(400, 'validation:failed', { context: { invalid: [null, 'userId', { field: 1 }] } }),
    ],
    ['no JSON', { status: 400, body: '<p>userId</p>' }],
  ])('is our own mistake otherwise: %s', async (_, step) => {
    expect(await play({ remove: [step] })).toMatchObject({ outcome: 'refused', reason: 'request-invalid', tries: 1 });
  });
});

it.each([problem(403, 'auth:unauthorized'), message(403), { status: 403, body: '<p>' }])(
  'a 403 is forbidden',
  async (step) => {
    expect(await play({ remove: [step] })).toMatchObject({ outcome: 'refused', reason: 'forbidden', tries: 1 });
  },
);

describe('a 401', () => {
  it('refreshes the credential once and repeats once', async () => {
    const outcome = await play({ remove: [message(401), { status: 204 }] });
    expect(outcome).toMatchObject({ outcome: 'removed', tries: 2 });
    expect(backend.callsTo('token').length).toBe(2);
    const [first, second] = backend.callsTo('remove').map(({ headers }) => headers['authorization']);
    expect(first).not.toBe(second);
  });

  it('is the credential refused when it comes twice', async () => {
    const outcome = await play({ remove: [message(401), problem(401, 'auth:token-expired')] });
    expect(outcome).toMatchObject({ outcome: 'refused', reason: 'credential-refused', tries: 2, backendStatus: 401 });
  });

  it('is the credential refused where no fresh token is to be had', async () => {
    backend.play({ remove: [{ status: 204 }] });
    await client.remove();
    const outcome = await play({ token: [{ status: 403 }], remove: [message(401)] });
    expect(outcome).toMatchObject({ outcome: 'refused', reason: 'credential-refused', tries: 1 });
  });

  it('is the credential refused where the token is static', async () => {
    client.credentials.set('main', { kind: 'token', token: 'static' });
    const outcome = await play({ remove: [message(401)] });
    expect(outcome).toMatchObject({ outcome: 'refused', reason: 'credential-refused', tries: 1 });
  });
});

describe('a 429', () => {
  it('is waited out where it asks for a second', async () => {
    const began = performance.now();
    const outcome = await play({ remove: [{ ...message(429), headers: { 'retry-after': '1' } }, { status: 204 }] });
    expect(outcome).toMatchObject({ outcome: 'removed', tries: 2 });
    expect(performance.now() - began).toBeGreaterThan(990);
  });

  it.each([
    ['2', 2],
    ['30', 30],
    ['99999999999', 86_400],
    [undefined, 1],
    ['soon', 1],
    ['-5', 1],
    ['1.5', 1],
    ['', 1],
  ])('is handed on at once where it asks for %s', async (value, retryAfterSeconds) => {
    const headers: Record<string, string> = value === undefined ? {} : { 'retry-after': value };
    const outcome = await play({ remove: [{ ...message(429), headers }] });
    expect(outcome).toMatchObject({ outcome: 'refused', reason: 'rate-limited', retryAfterSeconds, tries: 1 });
  });

  it('is handed on where the deadline would not allow the wait', async () => {
    const hurried = openTestBackend(backend, { timeoutMs: 500 });
    backend.play({ remove: [{ ...message(429), headers: { 'retry-after': '1' } }] });
    expect(await hurried.remove()).toMatchObject({ reason: 'rate-limited', retryAfterSeconds: 1, tries: 1 });
    backend.verify();
    await hurried.close();
  });

  it('leaves open what became of an earlier try that got no answer', async () => {
    const outcome = await play({ remove: [{ fault: 'reset' }, message(429)] });
    expect(outcome).toMatchObject({ outcome: 'unknown', reason: 'rate-limited', retryAfterSeconds: 1, tries: 2 });
  });
});

it.each([201, 202, 203, 206, 300, 301, 302, 304, 307, 308, 402, 405, 406, 409, 410, 418, 422, 500, 501, 505, 599])(
  'any other status ends as unknown, and is neither repeated nor followed: %i',
  async (status) => {
    const outcome = await play({
      remove: [{ status, headers: { location: '/v1/organization/members/x' }, body: '{}' }],
    });
    expect(outcome).toMatchObject({ outcome: 'unknown', reason: 'unavailable', backendStatus: status, tries: 1 });
  },
);

it.each(['<html>', '[]', 'null', 'true', '"x"', '{', '{}{}', `{"a":"${'x'.repeat(70_000)}"}`])(
  'a 200 with anything but an object ends as unknown: %.10s',
  async (body) => {
    expect(await play({ remove: [{ status: 200, body }] })).toMatchObject({ outcome: 'unknown', tries: 1 });
  },
);

it('an answer that does not come before the deadline ends as unknown', async () => {
  const hurried = openTestBackend(backend, { timeoutMs: 150 });
  backend.play({ remove: [{ fault: 'stall' }] });
  const began = performance.now();
  expect(await hurried.remove()).toMatchObject({
    outcome: 'unknown',
    reason: 'unavailable',
    tries: 1,
    backendStatus: undefined,
  });
  expect(performance.now() - began).toBeLessThan(1_000);
  await hurried.close();
});

it('what the backend says, and what opens it, reaches no log and no outcome', async () => {
  const secret = 'canary-token';
  const told: unknown[] = [];
  for (const step of [
    message(500, { message: 'canary-text' }),
    { status: 404, body: 'canary-text' },
    message(403, { message: 'canary-text' }),
  ]) {
    told.push(await play({ remove: [step] }));
  }
  client.credentials.set('main', { kind: 'token', token: secret });
  told.push(await play({ organization: [message(500, { message: 'canary-text' })] }));
  client.credentials.set('main', { kind: 'client', clientId: 'other', clientSecret: SECRET });
  told.push(await play({ token: [{ status: 401, body: { error_description: 'canary-text' } }] }));
  expect(JSON.stringify([told, client.logged])).not.toContain('canary');
  expect(client.logged.length).toBeGreaterThan(0);
});

it('names the organization of a credential for whoever checks a directory', async () => {
  backend.play({});
  expect(await client.askOrganization('main', NODE_SCOPE)).toEqual({ ok: true, value: ORGANIZATION_ID });
  expect(await client.askOrganization('nobody', NODE_SCOPE)).toMatchObject({
    ok: false,
    failure: { kind: 'unavailable' },
  });
});
