/** All that stands around a Holdover in a test: a Redis with the contract's directory, a backend that removes everybody, and callers. */
import { readFileSync } from 'node:fs';
import { Agent, request as send } from 'node:http';
import { connect, type Socket } from 'node:net';
import { loadDirectory } from './load-directory.ts';
import { type RedisServer, startRedis } from './redis.ts';
import {
  makeAccessToken,
  type RecordedCall,
  type ScriptedBackend,
  type Step,
  startScriptedBackend,
  toTokenStep,
} from './scripted-backend.ts';
import { type Claims, createSecret, signToken, toClaims } from './tokens.ts';

export interface Surroundings {
  /** A server of the test's own. */
  readonly redis: RedisServer;
  readonly backend: ScriptedBackend;
  /** Every variable that must be set. */
  readonly env: Readonly<Record<string, string>>;
  close(): Promise<void>;
}

/** Organizations of test/contract/directory.json. */
export const PAGE_GUID = '211f7701-2715-479b-afbc-811f767fb131';
export const BARE_GUID = 'c2d0b7a6-0f6e-4d0a-8b52-7f1f6c9e4a04';

const SECRET = 'a secret of the Workers tests, long enough for HS256';
const CREDENTIALS = ['page', 'bare'];

export async function openSurroundings(): Promise<Surroundings> {
  const redis = await startRedis({ own: true });
  await loadDirectory(redis.url, readFileSync('test/contract/directory.json', 'utf8'));
  const backend = await startScriptedBackend();
  backend.play(toHealthyStep);
  const credentials = CREDENTIALS.map((name) => [name, { client_id: name, client_secret: `secret of ${name}` }]);
  return {
    redis,
    backend,
    env: {
      BACKEND_URL: backend.url,
      BACKEND_TOKEN_URL: backend.tokenUrl,
      BACKEND_CREDENTIALS: JSON.stringify(Object.fromEntries(credentials)),
      LEGACY_TOKEN_SECRET: SECRET,
      ORGANIZATIONS: 'redis',
      REDIS_URL: redis.url,
      // A busy machine must not look like an outage.
      REDIS_TIMEOUT_MS: '5000',
    },
    async close() {
      await backend.close();
      await redis.stop();
    },
  };
}

/** How a backend answers with which all is well: each client id gets tokens of the organization `org-<client id>`. */
export function toHealthyStep(call: RecordedCall): Step | undefined {
  if (call.endpoint === 'remove') return { status: 204 };
  if (call.endpoint !== 'token') return undefined;
  return toTokenStep(makeAccessToken(`org-${new URLSearchParams(call.body).get('client_id')}`));
}

/** Of an administrator, unless `changes` say otherwise. */
export function createToken(changes: Claims = {}): Promise<string> {
  return signToken(toClaims(changes), createSecret(SECRET));
}

export const ADMIN = await createToken();

export interface Request {
  readonly method?: string;
  readonly path?: string;
  /** An administrator's unless told; `null` for none. */
  readonly token?: string | null;
  readonly headers?: Readonly<Record<string, string>>;
}

export interface Answer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
  /** `code` of an error's body. */
  readonly code: number | undefined;
}

export interface Client {
  /** The page's removal, unless told otherwise. */
  send(request?: Request): Promise<Answer>;
  close(): void;
}

export function toRemovalPath(guid: string, user = 'uaa-id-110'): string {
  return `/v2/organizations/${guid}/users/${user}`;
}

/** Over connections that stay open. */
export function openClient(url: string): Client {
  const agent = new Agent({ keepAlive: true });
  const { hostname, port } = new URL(url);
  return {
    send(request = {}) {
      const { method, path, headers } = toSent(request);
      return new Promise((resolve, reject) => {
        const outgoing = send({ hostname, port, method, path, headers, agent });
        outgoing.on('error', reject);
        outgoing.on('response', (incoming) => {
          let body = '';
          incoming.setEncoding('utf8').on('data', (chunk: string) => {
            body += chunk;
          });
          incoming.on('error', reject);
          incoming.on('end', () => {
            const found = Object.entries(incoming.headers).map(([name, value]) => [name, String(value)]);
            const status = incoming.statusCode ?? 0;
            resolve({
              status,
              headers: Object.fromEntries(found),
              body,
              code: status < 400 ? undefined : toCode(body),
            });
          });
        });
        outgoing.end();
      });
    },
    close: () => agent.destroy(),
  };
}

/** Sends a request whose client hangs up when the returned function is called: by a reset, which workerd cancels the request for. */
export async function sendAndAbandon(url: string, request: Request = {}): Promise<() => void> {
  const { method, path, headers } = toSent(request);
  const { hostname, port } = new URL(url);
  const socket = await new Promise<Socket>((resolve, reject) => {
    const opened = connect(Number(port), hostname, () => resolve(opened)).once('error', reject);
  });
  socket.on('error', () => undefined);
  const lines = Object.entries({ Host: `${hostname}:${port}`, ...headers }).map(([name, value]) => `${name}: ${value}`);
  socket.write([`${method} ${path} HTTP/1.1`, ...lines, '', ''].join('\r\n'));
  return () => void socket.resetAndDestroy();
}

function toSent({ method = 'DELETE', path = toRemovalPath(PAGE_GUID), token = ADMIN, headers = {} }: Request) {
  const authorization = token === null ? {} : { Authorization: `bearer ${token}` };
  return { method, path, headers: { ...authorization, ...headers } };
}

function toCode(body: string): number | undefined {
  try {
    const { code } = JSON.parse(body) as { code?: number };
    return code;
  } catch {
    return undefined;
  }
}
