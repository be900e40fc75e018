/**
 * The npm package cf-client 0.13.26 itself, unchanged, against Holdover on Node: discovery, login, organizations, removal.
 * Its `removeUser` wants status 204 and a JSON body at once, so it rejects whatever a server answers (legacy.md, section
 * 7): what a program can make of the rejection is what it could make of the old server's.
 */
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import client from 'cf-client';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { type FixtureBackend, startFixtureBackend } from '../support/fixture-backend.ts';
import { type FixtureOrigin, startFixtureOrigin } from '../support/fixture-origin.ts';
import { type Environment, type Holdover, startOnNode } from '../support/holdover.ts';
import { createSecret, signToken, toClaims } from '../support/tokens.ts';

const SECRET = 'a secret that the stub of the UAA signs with, too';
const ORGANIZATION = '211f7701-2715-479b-afbc-811f767fb131';
const USER = 'uaa-id-110';
const REMOVAL = {
  method: 'DELETE',
  path: '/organization/members/7b1f4c52-91d4-4c7e-b0e6-6f0f6b6c2e37',
  credential: 'page',
  answer: { status: 204 },
};
const JSON_TYPE = { 'Content-Type': 'application/json;charset=utf-8' };

const { CloudController, Organizations, UsersUAA } = client;

/** A UAA that knows one user: its token endpoint, and what cf-client must send it. */
async function startUaa(): Promise<{ readonly url: string; close(): Promise<void> }> {
  const accessToken = await signToken(toClaims({ client_id: 'cf' }), createSecret(SECRET));
  const server = createServer(async (incoming, outgoing) => {
    const chunks: Buffer[] = [];
    for await (const chunk of incoming) chunks.push(chunk as Buffer);
    const form = new URLSearchParams(Buffer.concat(chunks).toString());
    const isRight =
      `${incoming.method} ${incoming.url} ${incoming.headers.authorization}` === 'POST /oauth/token Basic Y2Y6' &&
      form.get('grant_type') === 'password' &&
      form.get('password') === 'right';
    outgoing.writeHead(isRight ? 200 : 401, JSON_TYPE);
    outgoing.end(JSON.stringify(isRight ? { token_type: 'bearer', access_token: accessToken } : { error: 'invalid' }));
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    async close() {
      server.close();
      server.closeAllConnections();
      await once(server, 'close');
    },
  };
}

let uaa: Awaited<ReturnType<typeof startUaa>>;
let backend: FixtureBackend;
let origin: FixtureOrigin;
beforeAll(async () => {
  uaa = await startUaa();
  backend = await startFixtureBackend(['page', 'suspended', 'one-manager', 'bare', 'wrong']);
  origin = await startFixtureOrigin();
});
afterAll(async () => {
  await Promise.all([uaa.close(), backend.close(), origin.close()]);
});
afterEach(() => {
  expect([...backend.differences(), ...origin.differences()]).toEqual([]);
});

/** A Holdover for the tests of one `describe`. */
function useHoldover(toEnv: () => Environment): { readonly url: string } {
  let holdover: Holdover;
  beforeAll(async () => {
    holdover = await startOnNode({
      ...backend.env,
      LEGACY_TOKEN_SECRET: SECRET,
      ORGANIZATIONS: 'file:test/contract/directory.json',
      ...toEnv(),
    });
  });
  afterAll(async () => {
    expect(await holdover.stop()).toBe(0);
  });
  return {
    get url() {
      return holdover.url;
    },
  };
}

/** As its README has it: discover, log in, and hand the token to what shall use it. */
async function logIn(url: string): Promise<InstanceType<typeof Organizations>> {
  const { token_endpoint: tokenEndpoint } = await new CloudController(url).getInfo();
  const token = await new UsersUAA(String(tokenEndpoint)).login('marissa', 'right');
  const organizations = new Organizations(url);
  organizations.setToken(token);
  return organizations;
}

/** What `removeUser` rejects with: for this client the only outcome there is. */
async function rejectionOf(work: Promise<unknown>): Promise<unknown> {
  return work.then(
    () => expect.fail('cf-client resolved: it never does'),
    (reason: unknown) => reason,
  );
}

describe('without an origin, LEGACY_PROFILE=2015-11', () => {
  const holdover = useHoldover(() => ({
    LEGACY_PROFILE: '2015-11',
    LEGACY_INFO: JSON.stringify({ api_version: '2.42.0', authorization_endpoint: uaa.url, token_endpoint: uaa.url }),
  }));

  it('discovers, logs in and reads a moved organization', async () => {
    const organizations = await logIn(holdover.url);
    const found = await organizations.getOrganization(ORGANIZATION);
    expect(found).toMatchObject({ metadata: { guid: ORGANIZATION }, entity: { name: 'name-505' } });
  });

  it('removes a user; known limit: the 204 rejects with an empty string, since that is no JSON', async () => {
    const organizations = await logIn(holdover.url);
    backend.expect([REMOVAL]);
    expect(await rejectionOf(organizations.removeUser(ORGANIZATION, USER))).toBe('');
  });

  it('tells a failed removal from a done one: it rejects with the text of the error', async () => {
    const organizations = await logIn(holdover.url);
    const reason = await rejectionOf(organizations.removeUser(ORGANIZATION, 'nobody'));
    expect(JSON.parse(String(reason))).toMatchObject({ code: 1002, error_code: 'CF-InvalidRelation' });
  });

  it('known limit: takes no call but the adapted ones, and rejects with the text of the 404', async () => {
    const organizations = await logIn(holdover.url);
    expect(JSON.parse(String(await rejectionOf(organizations.getOrganizations())))).toMatchObject({ code: 10000 });
  });
});

describe('in front of an origin, default profile', () => {
  const holdover = useHoldover(() => ({ LEGACY_ORIGIN_URL: origin.url }));
  const info = () => ({
    method: 'GET',
    target: '/v2/info',
    headers: { authorization: null },
    answer: { status: 200, headers: JSON_TYPE, body: JSON.stringify({ token_endpoint: uaa.url }) },
  });
  const list = { total_results: 0, resources: [] };

  it('discovers, logs in, lists organizations and adds a user through it', async () => {
    const path = `/v2/organizations/${ORGANIZATION}/users/${USER}`;
    const headers = { authorization: 'bearer <token>' };
    origin.expect([
      info(),
      {
        method: 'GET',
        target: '/v2/organizations',
        headers,
        answer: { status: 200, headers: JSON_TYPE, body: JSON.stringify(list) },
      },
      { method: 'PUT', target: path, headers, answer: { status: 201, headers: JSON_TYPE, body: '{"metadata":{}}' } },
    ]);
    const organizations = await logIn(holdover.url);
    expect(await organizations.getOrganizations()).toEqual(list);
    expect(await organizations.addUser(ORGANIZATION, USER)).toEqual({ metadata: {} });
  });

  it('removes a user; known limit: the 201 rejects with the text of the organization, since it is no 204', async () => {
    origin.expect([info()]);
    backend.expect([REMOVAL]);
    const organizations = await logIn(holdover.url);
    const reason = String(await rejectionOf(organizations.removeUser(ORGANIZATION, USER)));
    expect(Buffer.byteLength(reason)).toBe(1304);
    expect(JSON.parse(reason)).toMatchObject({ metadata: { guid: ORGANIZATION } });
  });

  it('logs in where the token endpoint itself is behind Holdover', async () => {
    const body = JSON.stringify({ token_type: 'bearer', access_token: 'x.y.z' });
    origin.expect([
      {
        method: 'POST',
        target: '/oauth/token',
        headers: { authorization: 'Basic Y2Y6', 'content-type': 'application/x-www-form-urlencoded' },
        body: 'grant_type=password&client_id=cf&username=marissa&password=right',
        answer: { status: 200, headers: JSON_TYPE, body },
      },
    ]);
    expect(await new UsersUAA(holdover.url).login('marissa', 'right')).toEqual(JSON.parse(body));
  });
});
