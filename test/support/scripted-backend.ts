/**
 * A real HTTP server that plays the backend and its token endpoint by a script: answers and faults in plain JSON, by
 * endpoint and in order. What came is recorded; a scripted step that was never called for, and a call without a step,
 * make `verify` throw. It writes its bytes itself, so that it can send what no HTTP library would.
 */
import { once } from 'node:events';
import { STATUS_CODES } from 'node:http';
import { type AddressInfo, createServer, type Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';

export type Endpoint = 'remove' | 'members' | 'organization' | 'token' | 'other';

/** How one call is answered. All of it is JSON. */
export interface Step {
  readonly status?: number;
  readonly headers?: Readonly<Record<string, string>>;
  /** An object is sent as JSON. */
  readonly body?: string | object;
  /** How `body` and `raw` become bytes: UTF-8 unless told. */
  readonly encoding?: 'latin1';
  /** Written to the connection as it is, instead of all of the above; the connection stays open. */
  readonly raw?: string;
  /** `reset`: RST. `cut`: FIN. `stall`: nothing more comes. Each after `afterBytes` bytes (0) of the answer. */
  readonly fault?: 'reset' | 'cut' | 'stall';
  readonly afterBytes?: number;
  readonly delayMs?: number;
  /** How many calls this step answers: 1 unless told; `any` is not missed when it never comes. */
  readonly times?: number | 'any';
}

export type Script = Partial<Readonly<Record<Endpoint, readonly Step[]>>>;

export interface RecordedCall {
  readonly endpoint: Endpoint;
  readonly method: string;
  /** Path and query, as on the request line. */
  readonly target: string;
  /** Names in lower case. */
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
}

export interface ScriptedBackend {
  /** For BACKEND_URL. */
  readonly url: string;
  /** For BACKEND_TOKEN_URL. */
  readonly tokenUrl: string;
  readonly calls: readonly RecordedCall[];
  callsTo(endpoint: Endpoint): readonly RecordedCall[];
  /** Most calls that were being answered at one time. */
  readonly mostConcurrent: number;
  readonly connectionsOpened: number;
  /** Begins a new script, with nothing recorded. A function that answers `undefined` leaves the call unplanned. */
  play(script: Script | ((call: RecordedCall) => Step | undefined | Promise<Step | undefined>)): void;
  /** Throws where a step was never called for, or a call had no step. */
  verify(): void;
  /** Closes connections that have no call on them, as a server does that has had enough of them. */
  closeIdle(): void;
  close(): Promise<void>;
}

/** The organization that a backend names where its script does not. */
export const ORGANIZATION_ID = '5b0c7c5e-3b1f-4a8e-9d53-2f0f3a3f6f10';

let tokensMade = 0;

/** An access token as the backend's login service makes them; without a claim where `organizationId` is undefined. */
export function makeAccessToken(organizationId: string | undefined, claims: object = {}): string {
  tokensMade += 1;
  const encode = (part: object) => Buffer.from(JSON.stringify(part)).toString('base64url');
  const claim = organizationId === undefined ? {} : { 'dbaas.aerospike.com/org_id': organizationId };
  return `${encode({ alg: 'RS256', typ: 'JWT' })}.${encode({ jti: `${tokensMade}`, ...claim, ...claims })}.c2ln`;
}

export function toTokenStep(accessToken: string, expiresIn = 28_800): Step {
  return { status: 200, body: { access_token: accessToken, token_type: 'Bearer', expires_in: expiresIn } };
}

/** Where a script says nothing of `token` and `organization`, they answer as a healthy backend does for ORGANIZATION_ID. */
function toHealthyStep(endpoint: Endpoint): Step | undefined {
  if (endpoint === 'token') return toTokenStep(makeAccessToken(ORGANIZATION_ID));
  if (endpoint === 'organization') return { status: 200, body: { id: ORGANIZATION_ID, name: 'Acme' } };
  return undefined;
}

export async function startScriptedBackend(script: Script = {}): Promise<ScriptedBackend> {
  let play = toPlay(script);
  let calls: RecordedCall[] = [];
  let concurrent = 0;
  let mostConcurrent = 0;
  let connectionsOpened = 0;
  const connections = new Map<Socket, { isBusy: boolean }>();

  const serve = async (socket: Socket, state: { isBusy: boolean }) => {
    for await (const call of readCalls(socket)) {
      state.isBusy = true;
      concurrent += 1;
      mostConcurrent = Math.max(mostConcurrent, concurrent);
      calls.push(call);
      const step = (await play.next(call)) ?? toHealthyStep(call.endpoint) ?? play.miss(call);
      await sendStep(step, socket);
      concurrent -= 1;
      state.isBusy = false;
    }
  };
  const server = createServer((socket) => {
    const state = { isBusy: false };
    connectionsOpened += 1;
    connections.set(socket, state);
    socket.on('error', () => undefined).on('close', () => connections.delete(socket));
    socket.setNoDelay(true);
    serve(socket, state).catch(() => socket.destroy());
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const origin = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;

  return {
    url: `${origin}/v1`,
    tokenUrl: `${origin}/oauth/token`,
    get calls() {
      return calls;
    },
    callsTo: (endpoint) => calls.filter((call) => call.endpoint === endpoint),
    get mostConcurrent() {
      return mostConcurrent;
    },
    get connectionsOpened() {
      return connectionsOpened;
    },
    play(next) {
      play = toPlay(next);
      calls = [];
      mostConcurrent = 0;
      connectionsOpened = 0;
    },
    verify() {
      const missed = play.missed();
      if (missed.length > 0) throw new Error(`the script was not followed: ${missed.join('; ')}`);
    },
    closeIdle() {
      for (const [socket, { isBusy }] of connections) if (!isBusy) socket.end();
    },
    async close() {
      const closed = once(server, 'close');
      server.close();
      for (const socket of connections.keys()) socket.destroy();
      await closed;
    },
  };
}

interface Play {
  next(call: RecordedCall): Promise<Step | undefined>;
  /** Notes a call that nothing was planned for. */
  miss(call: RecordedCall): Step;
  /** What should have come and did not, and what came unasked. */
  missed(): string[];
}

function toPlay(script: Parameters<ScriptedBackend['play']>[0]): Play {
  const unasked: string[] = [];
  const miss = (call: RecordedCall) => {
    unasked.push(`${call.method} ${call.target} was not planned`);
    return { status: 500, body: 'not planned' };
  };
  if (typeof script === 'function') return { next: async (call) => script(call), miss, missed: () => unasked };
  const queues = new Map<string, { step: Step; left: number; isNeeded: boolean }[]>();
  for (const [endpoint, steps] of Object.entries(script)) {
    const queue = steps.map((step) => ({
      step,
      left: step.times === 'any' ? Number.POSITIVE_INFINITY : (step.times ?? 1),
      isNeeded: step.times !== 'any',
    }));
    queues.set(endpoint, queue);
  }
  return {
    async next(call) {
      const queue = queues.get(call.endpoint);
      const entry = queue?.find(({ left }) => left > 0);
      if (entry) entry.left -= 1;
      return entry?.step ?? (queue && miss(call));
    },
    miss,
    missed() {
      const left = [...queues].flatMap(([endpoint, queue]) =>
        queue
          .filter((entry) => entry.isNeeded && entry.left > 0)
          .map((entry) => `${endpoint} ${JSON.stringify(entry.step)} was not called for (${entry.left} left)`),
      );
      return [...unasked, ...left];
    },
  };
}

const HEAD_END = '\r\n\r\n';

/** Requests as clients of ours send them: one after the other, a body by its Content-Length. */
async function* readCalls(socket: Socket): AsyncGenerator<RecordedCall> {
  let read = Buffer.alloc(0);
  for await (const chunk of socket as AsyncIterable<Buffer>) {
    read = Buffer.concat([read, chunk]);
    for (;;) {
      const headLength = read.indexOf(HEAD_END);
      if (headLength === -1) break;
      const [requestLine = '', ...lines] = read.toString('utf8', 0, headLength).split('\r\n');
      const headers = Object.fromEntries(lines.map(toHeader));
      const bodyAt = headLength + HEAD_END.length;
      const end = bodyAt + Number(headers['content-length'] ?? 0);
      if (headers['transfer-encoding'] !== undefined) throw new Error('no client of ours sends chunks');
      if (read.length < end) break;
      const [method = '', target = ''] = requestLine.split(' ');
      const body = read.toString('utf8', bodyAt, end);
      read = read.subarray(end);
      yield { endpoint: toEndpoint(method, target), method, target, headers, body };
    }
  }
}

function toHeader(line: string): [string, string] {
  const colon = line.indexOf(':');
  return [line.slice(0, colon).toLowerCase(), line.slice(colon + 1).trim()];
}

function toEndpoint(method: string, target: string): Endpoint {
  const path = target.split('?')[0] as string;
  if (method === 'DELETE' && /^\/v1\/organization\/members\/[^/]+$/.test(path)) return 'remove';
  if (method === 'GET' && path === '/v1/organization/members') return 'members';
  if (method === 'GET' && path === '/v1/organization') return 'organization';
  if (method === 'POST' && path === '/oauth/token') return 'token';
  return 'other';
}

/** Time for what was sent to be read: an RST throws away what is still in the buffers. */
const SETTLE_MS = 20;

async function sendStep(step: Step, socket: Socket): Promise<void> {
  if (step.delayMs !== undefined) await sleep(step.delayMs);
  const wire = toWire(step);
  if (step.fault === undefined) {
    socket.write(wire);
    return;
  }
  const { afterBytes = 0 } = step;
  if (afterBytes > 0) socket.write(wire.subarray(0, afterBytes));
  if (step.fault === 'cut') socket.end();
  if (step.fault === 'stall') await once(socket, 'close').catch(() => undefined);
  if (step.fault === 'reset') {
    if (afterBytes > 0) await sleep(SETTLE_MS);
    socket.resetAndDestroy();
  }
}

/** The whole answer to a step, as bytes: what `afterBytes` counts. */
export function toWire(step: Step): Buffer {
  if (step.raw !== undefined) return Buffer.from(step.raw, step.encoding);
  const { status = 200, body = '' } = step;
  const hasBody = status !== 204 && status !== 304;
  const bytes = hasBody ? Buffer.from(typeof body === 'object' ? JSON.stringify(body) : body, step.encoding) : null;
  const headers = {
    ...(typeof body === 'object' ? { 'content-type': 'application/json' } : {}),
    ...step.headers,
    ...(bytes ? { 'content-length': `${bytes.length}` } : {}),
  };
  const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`);
  const head = `HTTP/1.1 ${status} ${STATUS_CODES[status] ?? 'Unknown'}\r\n${lines.join('')}\r\n`;
  return Buffer.concat([Buffer.from(head), bytes ?? Buffer.alloc(0)]);
}
