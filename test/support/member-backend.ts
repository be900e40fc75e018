/**
 * A backend that tells the truth about who is a member, over real HTTP, and remembers which request took whom out: what a
 * client was told is compared with it. What breaks on the way is a `FaultProxy`'s doing; what it answers wrongly itself,
 * `play`'s. Byte by byte and step by step: `scripted-backend.ts`.
 */
import { once } from 'node:events';
import { createServer, type IncomingMessage } from 'node:http';
import type { AddressInfo } from 'node:net';
import { text } from 'node:stream/consumers';
import { makeAccessToken } from './scripted-backend.ts';

export interface MemberBackend {
  readonly port: number;
  /** Every name is a credential, of the organization `org-<name>`: its client_id is the name, its secret `secret of <name>`. */
  readonly credentials: string;
  /** An earlier removal of the same user is forgotten. */
  add(user: string): void;
  /** For long runs: nothing of the user is kept. */
  forget(user: string): void;
  isMember(user: string): boolean;
  /** Our X-Request-Id of each DELETE that took the user out; at most one since `add` where all is well. */
  removalsOf(user: string): readonly string[];
  /** DELETEs that came for the user since `add`. */
  triesFor(user: string): number;
  /** Stands before every answer until the next `play`. `act` does what was asked for, and says so. */
  play(handler?: (call: MemberCall, act: () => MemberReply) => MemberReply | Promise<MemberReply>): void;
  close(): Promise<void>;
}

export interface MemberCall {
  readonly endpoint: 'token' | 'organization' | 'members' | 'remove' | 'other';
  /** Of a removal. */
  readonly user: string | undefined;
}

export interface MemberReply {
  readonly status: number;
  readonly headers?: Readonly<Record<string, string>>;
  /** An object is sent as JSON. */
  readonly body?: string | object;
}

interface Known {
  tries: number;
  readonly removals: string[];
}

/** `names`: of the credentials. Users are members of whichever organization they are removed from. */
export async function startMemberBackend(names: readonly string[], keepAliveMs = 60_000): Promise<MemberBackend> {
  const users = new Map<string, Known>();
  const members = new Set<string>();
  type Handler = NonNullable<Parameters<MemberBackend['play']>[0]>;
  const honest: Handler = (_call, act) => act();
  let handler = honest;

  const server = createServer(async (request, response) => {
    const body = await text(request).catch(() => '');
    const call = toCall(request);
    const reply = await handler(call, () => act(call, request, body));
    const content = typeof reply.body === 'object' ? JSON.stringify(reply.body) : (reply.body ?? '');
    const type = typeof reply.body === 'object' ? { 'Content-Type': 'application/json' } : {};
    response.writeHead(reply.status, { ...type, ...reply.headers }).end(reply.status === 204 ? undefined : content);
  });
  server.keepAliveTimeout = keepAliveMs;
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');

  function act({ endpoint, user }: MemberCall, request: IncomingMessage, body: string): MemberReply {
    if (endpoint === 'token') return grant(new URLSearchParams(body), names);
    const organization = organizationOf(request.headers.authorization);
    if (organization === undefined) return { status: 401, body: { message: 'no such token', code: 'invalid_token' } };
    if (endpoint === 'organization') return { status: 200, body: { id: organization, name: 'Example' } };
    if (endpoint === 'members') return list(members);
    const known = user === undefined ? undefined : users.get(user);
    if (known) known.tries += 1;
    if (endpoint !== 'remove' || user === undefined || !members.delete(user)) return NOT_FOUND;
    known?.removals.push(String(request.headers['x-request-id']));
    return { status: 204 };
  }

  return {
    port: (server.address() as AddressInfo).port,
    credentials: JSON.stringify(
      Object.fromEntries(names.map((name) => [name, { client_id: name, client_secret: `secret of ${name}` }])),
    ),
    add(user) {
      members.add(user);
      users.set(user, { tries: 0, removals: [] });
    },
    forget(user) {
      members.delete(user);
      users.delete(user);
    },
    isMember: (user) => members.has(user),
    removalsOf: (user) => users.get(user)?.removals ?? [],
    triesFor: (user) => users.get(user)?.tries ?? 0,
    play(next = honest) {
      handler = next;
    },
    async close() {
      server.close();
      server.closeAllConnections();
      await once(server, 'close');
    },
  };
}

const NOT_FOUND: MemberReply = {
  status: 404,
  headers: { 'Content-Type': 'application/problem+json' },
  body: JSON.stringify({
    type: 'urn:aerospike:errors:resource:not-found',
    title: 'Resource Not Found',
    status: 404,
    detail: 'There is no such user.',
    context: { resource: 'user' },
  }),
};

function toCall(request: IncomingMessage): MemberCall {
  const operation = `${request.method} ${request.url?.split('?')[0]}`;
  const user = /^DELETE \/v1\/organization\/members\/([^/]+)$/.exec(operation)?.[1];
  if (user !== undefined) return { endpoint: 'remove', user };
  const endpoints = {
    'POST /oauth/token': 'token',
    'GET /v1/organization': 'organization',
    'GET /v1/organization/members': 'members',
  } as const;
  return { endpoint: endpoints[operation as keyof typeof endpoints] ?? 'other', user: undefined };
}

function grant(form: URLSearchParams, names: readonly string[]): MemberReply {
  const name = form.get('client_id') ?? '';
  if (!names.includes(name) || form.get('client_secret') !== `secret of ${name}`) {
    return { status: 401, body: { error: 'invalid_client' } };
  }
  const body = { access_token: makeAccessToken(`org-${name}`), token_type: 'Bearer', expires_in: 3600 };
  return { status: 200, body };
}

function organizationOf(authorization = ''): string | undefined {
  const [, payload = ''] = authorization.replace(/^Bearer /, '').split('.');
  const claims = JSON.parse(Buffer.from(payload, 'base64url').toString() || '{}') as Record<string, unknown>;
  const organization = claims['dbaas.aerospike.com/org_id'];
  return typeof organization === 'string' ? organization : undefined;
}

function list(members: ReadonlySet<string>): MemberReply {
  const page = [...members].map((id) => ({ id }));
  return { status: 200, body: { count: page.length, meta: { total: page.length }, members: page } };
}
