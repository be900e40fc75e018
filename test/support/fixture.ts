/** A contract fixture: one guarantee, its source, and the exchanges that show it. One JSON file per case, never made from our own output. */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { SignJWT, UnsecuredJWT } from 'jose';
import { type ClientName, toClientView } from './client-rules.ts';
import type { RawAnswer, RawRequest } from './raw-request.ts';
import type { Step } from './scripted-backend.ts';

export interface Fixture {
  /** `remove-org-user/removed`. */
  readonly name: string;
  readonly guarantee: string;
  readonly source: string;
  /** Variables beside those of every fixture. `<origin>` stands for the URL of the fixtures' origin. */
  readonly env?: Readonly<Record<string, string>>;
  /** Needs a Holdover of its own: its exchanges leave a trace in process (a spent retry budget, a fresh credential). */
  readonly fresh?: boolean;
  readonly exchanges: readonly Exchange[];
}

export interface Exchange {
  readonly request: FixtureRequest;
  /** The calls the backend must get, in this order, and no others. */
  readonly backend?: readonly ExpectedCall[];
  /** The calls the origin must get, in this order, and no others. */
  readonly origin?: readonly OriginCall[];
  readonly answer: ExpectedAnswer;
  /** What the client makes of the answer, by its rule in `client-rules.ts`. */
  readonly client?: { readonly name: ClientName; readonly sees: string };
  /** Outcomes in the audit trail: one for each removal that was begun. */
  readonly audit?: readonly string[];
}

export interface FixtureRequest {
  readonly method: string;
  readonly target: string;
  readonly headers?: Readonly<Record<string, string>>;
  /** Claims; null leaves one out, `<now+N>` is a time. `exp` is ten minutes ahead where it is not given. */
  readonly token?: Readonly<Record<string, unknown>>;
  readonly scheme?: string;
  readonly algorithm?: 'none' | 'HS256' | 'HS512';
  readonly signedWith?: string;
  readonly body?: string;
  /** Instead of `body`: that many bytes of anything. */
  readonly bodyBytes?: number;
  readonly chunked?: boolean;
  /** The client's IP as the nearest proxy saw it. */
  readonly clientAddress?: string;
}

export interface ExpectedCall {
  readonly method: string;
  readonly path: string;
  /** Name of the credential whose access token it must carry. */
  readonly credential: string;
  readonly answer: Step;
}

export interface OriginCall {
  readonly method: string;
  /** Path and query, byte for byte. */
  readonly target: string;
  /** Some of them; null for one that must not be there. `<uuid>` and `<token>` stand for values nobody can know. */
  readonly headers?: Readonly<Record<string, string | null>>;
  readonly body?: string;
  /** Instead of `body`, as in the request. */
  readonly bodyBytes?: number;
  readonly answer: {
    readonly status: number;
    readonly headers?: Readonly<Record<string, string | readonly string[]>>;
    readonly body?: string;
  };
}

export interface ExpectedAnswer {
  readonly status: number;
  /** All of them but those of the connection. `<uuid>` and `<number>` stand for values nobody can know. */
  readonly headers: Readonly<Record<string, string>>;
  /** Lines joined by LF: exact bytes. null: no body. */
  readonly body: readonly string[] | null;
}

const FOLDER = 'test/contract';

export function readFixtures(): Fixture[] {
  const files = readdirSync(FOLDER, { recursive: true, encoding: 'utf8' }).filter((file) =>
    /[\\/].*\.json$/.test(file),
  );
  return files.sort().map((file) => ({
    ...(JSON.parse(readFileSync(join(FOLDER, file), 'utf8')) as Omit<Fixture, 'name'>),
    name: file.replace(/\.json$/, ''),
  }));
}

/** The request as it goes on the wire to a Holdover whose clients' tokens are signed with `secret`. */
export async function toRawRequest(request: FixtureRequest, secret: string): Promise<RawRequest> {
  const { method, target, token, scheme = 'bearer', clientAddress, chunked = false } = request;
  const body = toBody(request);
  const headers: Record<string, string> = { 'User-Agent': 'fixture', ...request.headers };
  if (token !== undefined) headers['Authorization'] = `${scheme} ${await toToken(request, secret)}`;
  if (clientAddress !== undefined) {
    // Node behind one trusted proxy reads the first, Workers the second.
    headers['X-Forwarded-For'] = clientAddress;
    headers['CF-Connecting-IP'] = clientAddress;
  }
  return { method, target, headers, chunked, ...(body === undefined ? {} : { body }) };
}

/** The body of a request, as it is sent and as the origin must get it. */
export function toBody({ body, bodyBytes }: Pick<FixtureRequest, 'body' | 'bodyBytes'>): string | undefined {
  return bodyBytes === undefined ? body : 'x'.repeat(bodyBytes);
}

async function toToken(request: FixtureRequest, secret: string): Promise<string> {
  const claims: Record<string, unknown> = { exp: '<now+600>', ...request.token };
  for (const [name, value] of Object.entries(claims)) {
    if (value === null) delete claims[name];
    const time = typeof value === 'string' && /^<now([+-][\d.]+)?>$/.exec(value);
    if (time) claims[name] = Math.floor(Date.now() / 1000) + Number(time[1] ?? 0);
  }
  if (request.algorithm === 'none') return `${new UnsecuredJWT(claims).encode()}AAAA`;
  const key = new TextEncoder().encode(request.signedWith ?? secret);
  return new SignJWT(claims).setProtectedHeader({ typ: 'JWT', alg: request.algorithm ?? 'HS256' }).sign(key);
}

/** Headers that belong to the connection, and which each runtime sets as it likes. */
const CONNECTION_HEADERS = new Set(['connection', 'date', 'keep-alive', 'transfer-encoding']);

const PLACEHOLDERS: Readonly<Record<string, string>> = {
  '<uuid>': '[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}',
  '<number>': '[0-9]+',
  '<token>': '[\\w-]+\\.[\\w-]+\\.[\\w-]+',
};

/** Whether `found` is `expected`, with its placeholders filled. */
export function matchesPattern(expected: string, found: string): boolean {
  const pattern = expected
    .replace(/[.*+?^${}()|[\]\\]/g, '\\$&')
    .replace(/<(uuid|number|token)>/g, (hole) => PLACEHOLDERS[hole] as string);
  return new RegExp(`^${pattern}$`).test(found);
}

/** What differs between the two, one line each; empty where the answer is right, and the client takes it as it should. */
export function differences({ answer: expected, client }: Exchange, found: RawAnswer): string[] {
  const differs: string[] = [];
  if (found.status !== expected.status) differs.push(`status ${found.status}, not ${expected.status}`);
  const body = expected.body === null ? '' : expected.body.join('\n');
  if (found.body.toString('utf8') !== body)
    differs.push(`body ${JSON.stringify(found.body.toString('utf8'))}, not ${JSON.stringify(body)}`);
  const names = new Map(Object.entries(expected.headers).map(([name, value]) => [name.toLowerCase(), value]));
  for (const [name, value] of names) {
    const header = found.headers.get(name);
    if (header === undefined || !matchesPattern(value, header)) differs.push(`${name}: ${header}, not ${value}`);
  }
  for (const name of found.headers.keys()) {
    if (!names.has(name) && !CONNECTION_HEADERS.has(name))
      differs.push(`${name}: ${found.headers.get(name)}, not expected`);
  }
  const view = client && toClientView(client.name, found);
  if (view !== client?.sees) differs.push(`${client?.name} ${view}, not ${client?.sees}`);
  return differs;
}
