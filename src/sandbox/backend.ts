/**
 * An embedded backend for the demo and for trying Holdover out: it speaks `test/contract/backend.openapi.yaml` over real
 * HTTP, on loopback only, with its state in memory. No production entry imports it. What its operations do:
 * `members.ts`; its tokens: `access-token.ts`; its errors: `problem.ts`.
 */
import { randomUUID } from 'node:crypto';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { text } from 'node:stream/consumers';
import { type Bearer, createTokenIssuer } from './access-token.ts';
import { type Answer, listMembers, removeMember, type SandboxOrganization, showOrganization } from './members.ts';
import {
  type ErrorGeneration,
  INTERNAL_ERROR,
  type Problem,
  TOO_MANY_REQUESTS,
  toForbidden,
  toNotFound,
  toProblemBody,
} from './problem.ts';

export interface SandboxBackendOptions {
  readonly organizations: readonly SandboxOrganization[];
  /** Default 2. */
  readonly errorGeneration?: ErrorGeneration;
  /** Default 0: any that is free. */
  readonly port?: number;
  /** Lifetime of its access tokens. Default: the vendor's 8 hours. */
  readonly tokenSeconds?: number;
  /** Milliseconds since the epoch. Default: the system's clock. */
  readonly now?: () => number;
}

export interface SandboxBackend {
  /** BACKEND_URL. */
  readonly url: string;
  /** BACKEND_TOKEN_URL. */
  readonly tokenUrl: string;
  /** By id, as they are now. Taking one away leaves its tokens valid. */
  readonly organizations: Map<string, SandboxOrganization>;
  /** The next operation called with a good token fails like this, once. */
  failNext(status: 429 | 500): void;
  close(): Promise<void>;
}

const EIGHT_HOURS_SECONDS = 28_800;
const RETRY_AFTER_SECONDS = 1;

/** Listens when it resolves. */
export async function openSandboxBackend(options: SandboxBackendOptions): Promise<SandboxBackend> {
  const { errorGeneration = 2, port = 0, tokenSeconds = EIGHT_HOURS_SECONDS, now = Date.now } = options;
  const organizations = new Map(options.organizations.map((organization) => [organization.id, organization]));
  const issuer = createTokenIssuer({ lifetimeSeconds: tokenSeconds, now });
  let nextFailure: Problem | undefined;

  async function handle(request: IncomingMessage, response: ServerResponse): Promise<void> {
    response.setHeader('X-Request-Id', randomUUID());
    const [path = '', query] = (request.url ?? '').split('?', 2);
    const operation = `${request.method} ${path}`;
    if (operation === 'POST /oauth/token') {
      const fields = parseFields(request.headers['content-type'], await text(request));
      const { status, json } = await issuer.grant(fields, organizations.values());
      sendJson(response, status, json);
    } else {
      const bearer = await issuer.authenticate(request.headers.authorization);
      sendAnswer(response, answer(operation, new URLSearchParams(query), bearer), errorGeneration);
    }
  }

  /** Token, scope, organization, operation: the token alone says which organization is meant. */
  function answer(operation: string, query: URLSearchParams, bearer: Bearer | { readonly problem: Problem }): Answer {
    if ('problem' in bearer) return bearer;
    if (nextFailure !== undefined) {
      const problem = nextFailure;
      nextFailure = undefined;
      return { problem };
    }
    const scope = operation.startsWith('GET ') ? 'read:org' : 'update:org';
    if (!bearer.scopes.includes(scope)) return { problem: toForbidden(`This token lacks the scope ${scope}.`) };
    const organization = organizations.get(bearer.organizationId);
    if (!organization) return { problem: toNotFound('No such organization.', 'organization', bearer.organizationId) };

    if (operation === 'GET /v1/organization') return showOrganization(organization);
    if (operation === 'GET /v1/organization/members') return listMembers(organization, query);
    const userId = /^DELETE \/v1\/organization\/members\/([^/]+)$/.exec(operation)?.[1];
    if (userId === undefined) return { problem: toNotFound('No such operation.', 'operation', operation) };
    const removal = removeMember(organization, userId);
    if (removal.left) organizations.set(removal.left.id, removal.left);
    return removal.answer;
  }

  const server = createServer((request, response) => {
    // A throw is a bug of the sandbox; whoever tries it out should see one.
    handle(request, response).catch((error: unknown) => response.destroy(error as Error));
  });
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(port, '127.0.0.1', resolve);
  });
  const origin = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  return {
    url: `${origin}/v1`,
    tokenUrl: `${origin}/oauth/token`,
    organizations,
    failNext: (status) => {
      nextFailure = status === 429 ? TOO_MANY_REQUESTS : INTERNAL_ERROR;
    },
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

/** The vendor's documents send JSON, its own client sends a form. */
function parseFields(contentType: string | undefined, body: string): ReadonlyMap<string, unknown> {
  if (!contentType?.startsWith('application/json')) return new Map(new URLSearchParams(body));
  try {
    return new Map(Object.entries(JSON.parse(body)));
  } catch {
    return new Map();
  }
}

function sendAnswer(response: ServerResponse, answer: Answer, generation: ErrorGeneration): void {
  if ('problem' in answer) {
    const { contentType, body } = toProblemBody(answer.problem, generation);
    if (answer.problem.status === 429) response.setHeader('Retry-After', RETRY_AFTER_SECONDS);
    response.writeHead(answer.problem.status, { 'Content-Type': contentType }).end(body);
  } else if (answer.json) {
    sendJson(response, answer.status, answer.json);
  } else {
    response.writeHead(answer.status).end();
  }
}

function sendJson(response: ServerResponse, status: number, json: object): void {
  response.writeHead(status, { 'Content-Type': 'application/json' }).end(JSON.stringify(json));
}
