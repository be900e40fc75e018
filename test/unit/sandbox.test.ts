/** The sandbox backend against the contract it claims to speak: `test/contract/backend.openapi.yaml`. */
import { readFileSync } from 'node:fs';
import { Ajv } from 'ajv';
import addFormats from 'ajv-formats';
import { decodeJwt } from 'jose';
import { afterEach, describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import { openSandboxBackend, type SandboxBackend, type SandboxBackendOptions } from '../../src/sandbox/backend.ts';
import type { SandboxOrganization, SandboxScope } from '../../src/sandbox/members.ts';

const DOCUMENT = parse(readFileSync(new URL('../contract/backend.openapi.yaml', import.meta.url), 'utf8'));

const OWNER = '0c9a2f0e-7a53-4d0e-8a2b-3f4b8f2a9d11';
const ADMIN = '7b1f4c52-91d4-4c7e-b0e6-6f0f6b6c2e37';
const STRANGER = '11111111-2222-4333-8444-555555555555';
const OPERATIONS = {
  getOrganization: ['get', '/organization'],
  listOrgMembers: ['get', '/organization/members'],
  removeOrgMember: ['delete', '/organization/members/{userId}'],
} as const;

const opened: SandboxBackend[] = [];

async function open(options: Partial<SandboxBackendOptions> = {}): Promise<SandboxBackend> {
  const backend = await openSandboxBackend({
    organizations: [createOrganization('one'), createOrganization('two')],
    ...options,
  });
  opened.push(backend);
  return backend;
}

afterEach(async () => {
  await Promise.all(opened.splice(0).map((backend) => backend.close()));
});

function createOrganization(name: string, scopes: SandboxScope[] = ['read:org', 'update:org']): SandboxOrganization {
  const person = { email: 'a@example.com', createdAt: '2025-11-03T09:15:00Z', firstName: 'Ada', lastName: 'Example' };
  return {
    id: `org-${name}`,
    name,
    clientId: `key-${name}`,
    clientSecret: `secret-${name}`,
    scopes,
    members: [
      { ...person, id: OWNER, role: 'OrgOwner' },
      { ...person, id: ADMIN, role: 'OrgAdmin' },
    ],
  };
}

async function takeToken(backend: SandboxBackend, name = 'one'): Promise<string> {
  const answer = await fetch(backend.tokenUrl, {
    method: 'POST',
    headers: { 'Content-Type': 'application/json' },
    body: JSON.stringify({
      grant_type: 'client_credentials',
      client_id: `key-${name}`,
      client_secret: `secret-${name}`,
    }),
  });
  expect(answer.status).toBe(200);
  return ((await answer.json()) as { access_token: string }).access_token;
}

async function call(
  backend: SandboxBackend,
  method: 'get' | 'delete',
  path: string,
  token?: string,
): Promise<{ status: number; headers: Headers; body: string }> {
  const answer = await fetch(backend.url + path, {
    method: method.toUpperCase(),
    headers: token === undefined ? {} : { Authorization: `Bearer ${token}` },
  });
  return { status: answer.status, headers: answer.headers, body: await answer.text() };
}

interface Case {
  readonly operation: keyof typeof OPERATIONS;
  readonly status: number;
  /** What stands for `{userId}`, and the query. */
  readonly userId?: string;
  readonly query?: string;
  readonly scopes?: SandboxScope[];
  readonly token?: 'none' | 'expired';
  readonly before?: (backend: SandboxBackend) => void;
}

const drop = (backend: SandboxBackend) => backend.organizations.delete('org-one');
const CASES: Case[] = [
  { operation: 'getOrganization', status: 200 },
  { operation: 'getOrganization', status: 401, token: 'expired' },
  { operation: 'getOrganization', status: 403, scopes: ['update:org'] },
  { operation: 'getOrganization', status: 404, before: drop },
  { operation: 'getOrganization', status: 500, before: (backend) => backend.failNext(500) },
  { operation: 'listOrgMembers', status: 200 },
  { operation: 'listOrgMembers', status: 200, query: '?limit=1&offset=1' },
  { operation: 'listOrgMembers', status: 400, query: '?limit=101' },
  { operation: 'listOrgMembers', status: 400, query: '?limit=0' },
  { operation: 'listOrgMembers', status: 400, query: '?offset=-1' },
  { operation: 'listOrgMembers', status: 401, token: 'none' },
  { operation: 'listOrgMembers', status: 403, scopes: ['update:org'] },
  { operation: 'listOrgMembers', status: 500, before: (backend) => backend.failNext(500) },
  { operation: 'removeOrgMember', status: 204, userId: ADMIN },
  { operation: 'removeOrgMember', status: 204, userId: ADMIN.toUpperCase() },
  { operation: 'removeOrgMember', status: 400, userId: 'uaa-id-110' },
  { operation: 'removeOrgMember', status: 401, userId: ADMIN, token: 'expired' },
  { operation: 'removeOrgMember', status: 401, userId: ADMIN, token: 'none' },
  { operation: 'removeOrgMember', status: 403, userId: ADMIN, scopes: ['read:org'] },
  { operation: 'removeOrgMember', status: 403, userId: OWNER },
  { operation: 'removeOrgMember', status: 404, userId: STRANGER },
  { operation: 'removeOrgMember', status: 429, userId: ADMIN, before: (backend) => backend.failNext(429) },
  { operation: 'removeOrgMember', status: 500, userId: ADMIN, before: (backend) => backend.failNext(500) },
];

const ajv = new Ajv({ strict: false, allErrors: true });
addFormats.default(ajv);
ajv.addSchema(DOCUMENT, 'backend');

interface ResponseObject {
  readonly headers: Record<string, unknown>;
  readonly content?: Record<string, { readonly schema: { readonly $ref: string } }>;
}

/** The response object of the document, its `$ref` followed. */
function documented(operation: keyof typeof OPERATIONS, status: number): ResponseObject {
  const [method, path] = OPERATIONS[operation];
  const found = DOCUMENT.paths[path][method].responses[status];
  return found.$ref ? DOCUMENT.components.responses[found.$ref.split('/').at(-1)] : found;
}

function expectSchema(schema: { readonly $ref: string }, value: unknown): void {
  const validate = ajv.compile({ $ref: `backend${schema.$ref}` });
  expect(validate(value), ajv.errorsText(validate.errors)).toBe(true);
}

describe.each([1, 2] as const)('speaks backend.openapi.yaml in error generation %i', (errorGeneration) => {
  it.each(CASES)(
    '$operation answers $status as the file describes it ($userId$query$token$scopes)',
    async (example) => {
      let nowMs = Date.now();
      const backend = await open({
        errorGeneration,
        tokenSeconds: 60,
        now: () => nowMs,
        organizations: [createOrganization('one', example.scopes)],
      });
      const token = example.token === 'none' ? undefined : await takeToken(backend);
      if (example.token === 'expired') nowMs += 60_000;
      example.before?.(backend);
      const [method, path] = OPERATIONS[example.operation];
      const target = path.replace('{userId}', example.userId ?? '') + (example.query ?? '');
      const { status, headers, body } = await call(backend, method, target, token);

      expect(status).toBe(example.status);
      const expected = documented(example.operation, status);
      for (const name of Object.keys(expected.headers)) expect(headers.get(name), name).toMatch(/^\S+$/);
      const contentType = headers.get('content-type');
      if (status === 204) {
        expect([contentType, body]).toEqual([null, '']);
        return;
      }
      const isProblem = status >= 400 && errorGeneration === 2;
      expect(contentType).toBe(isProblem ? 'application/problem+json' : 'application/json');
      const schema = expected.content?.[contentType as string]?.schema;
      expect(schema).toBeDefined();
      expectSchema(schema as { $ref: string }, JSON.parse(body));
      if (isProblem) expect(JSON.parse(body).status).toBe(status);
    },
  );
});

it('is tested with every status the file lists for every operation', () => {
  const listed = Object.entries(OPERATIONS).flatMap(([operation, [method, path]]) =>
    Object.keys(DOCUMENT.paths[path][method].responses)
      .filter((status) => status !== 'default')
      .map((status) => `${operation} ${status}`),
  );
  const tested = CASES.map(({ operation, status }) => `${operation} ${status}`);
  expect([...new Set(tested)].sort()).toEqual(listed.sort());
});

it('tells a schema that fits from one that does not', () => {
  expect(() => expectSchema({ $ref: '#/components/schemas/ProblemDetails' }, { message: 'no problem' })).toThrow();
  expect(() => expectSchema({ $ref: '#/components/schemas/Member' }, { id: 'no uuid' })).toThrow();
});

describe('the token endpoint', () => {
  const grant = { grant_type: 'client_credentials', client_id: 'key-one', client_secret: 'secret-one' };
  const post = (backend: SandboxBackend, body: string, contentType: string) =>
    fetch(backend.tokenUrl, { method: 'POST', headers: { 'Content-Type': contentType }, body });

  it.each([
    ['JSON', JSON.stringify(grant), 'application/json'],
    ['a form', `${new URLSearchParams(grant)}`, 'application/x-www-form-urlencoded'],
  ])(
    'takes the client-credentials grant as %s and names the organization in the token',
    async (_, body, contentType) => {
      const backend = await open({ tokenSeconds: 90 });
      const answer = await post(backend, body, contentType);
      const token = (await answer.json()) as { access_token: string; token_type: string; expires_in: number };
      expect([answer.status, token.token_type, token.expires_in]).toEqual([200, 'Bearer', 90]);
      expect(answer.headers.get('x-request-id')).toMatch(/^[0-9a-f-]{36}$/);
      const claims = decodeJwt(token.access_token);
      expect(claims['dbaas.aerospike.com/org_id']).toBe('org-one');
      expect((claims.exp ?? 0) - (claims.iat ?? 0)).toBe(90);
    },
  );

  it.each([
    ['a wrong secret', 401, { ...grant, client_secret: 'secret-two' }],
    ['a wrong client', 401, { ...grant, client_id: 'key-none' }],
    ['another grant', 400, { ...grant, grant_type: 'password' }],
    ['nothing', 400, null],
  ])('refuses %s with %i', async (_, status, body) => {
    const answer = await post(await open(), JSON.stringify(body), 'application/json');
    expect(answer.status).toBe(status);
    expect(await answer.text()).not.toContain('access_token');
  });

  it('refuses a body that is no JSON', async () => {
    expect((await post(await open(), '{', 'application/json')).status).toBe(400);
  });
});

describe('its members', () => {
  const idsOf = (backend: SandboxBackend, id: string) =>
    backend.organizations.get(id)?.members.map((member) => member.id);

  it('a removal takes the member out of the organization of the token, and out of no other', async () => {
    const backend = await open();
    const token = await takeToken(backend, 'two');
    expect((await call(backend, 'delete', `/organization/members/${ADMIN}`, token)).status).toBe(204);
    expect(idsOf(backend, 'org-two')).toEqual([OWNER]);
    expect(idsOf(backend, 'org-one')).toEqual([OWNER, ADMIN]);
    expect((await call(backend, 'delete', `/organization/members/${ADMIN}`, token)).status).toBe(404);
  });

  it('a refused removal takes nobody out', async () => {
    const backend = await open();
    const token = await takeToken(backend);
    backend.failNext(429);
    for (const id of [ADMIN, OWNER, STRANGER, 'uaa-id-110']) {
      expect((await call(backend, 'delete', `/organization/members/${id}`, token)).status).toBeGreaterThan(399);
    }
    await call(backend, 'delete', `/organization/members/${ADMIN}`, `${token}x`);
    expect(idsOf(backend, 'org-one')).toEqual([OWNER, ADMIN]);
  });

  it('a list comes in pages', async () => {
    const backend = await open();
    const token = await takeToken(backend);
    const first = JSON.parse((await call(backend, 'get', '/organization/members?limit=1', token)).body);
    const second = JSON.parse((await call(backend, 'get', '/organization/members?limit=1&offset=1', token)).body);
    expect([first, second].map(({ count, meta, members }) => [count, meta, members[0].id])).toEqual([
      [1, { total: 2, limit: 1, offset: 0 }, OWNER],
      [1, { total: 2, limit: 1, offset: 1 }, ADMIN],
    ]);
  });

  it('a token of another sandbox is worth nothing', async () => {
    const token = await takeToken(await open());
    expect((await call(await open(), 'get', '/organization', token)).status).toBe(401);
  });

  it('another path or method is not found', async () => {
    const backend = await open();
    const token = await takeToken(backend);
    expect((await call(backend, 'get', '/organizations', token)).status).toBe(404);
    expect((await call(backend, 'delete', '/organization', token)).status).toBe(404);
    expect((await call(backend, 'delete', `/organization/members/${ADMIN}/`, token)).status).toBe(404);
  });
});

it('listens on loopback alone', async () => {
  const backend = await open();
  await expect(fetch(backend.url.replace('127.0.0.1', '127.0.0.2'))).rejects.toThrow('fetch failed');
});
