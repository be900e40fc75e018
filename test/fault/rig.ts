/**
 * What the suites of the fault matrix share: Holdovers that trust the proxies' authority, a directory, clients, and the
 * comparison of what a client and the audit trail were told with what the backend did.
 */
import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { expect } from 'vitest';
import { createCertificates, type FaultProxy, startFaultProxy, type WireFault } from '../support/fault-proxy.ts';
import type { Holdover, Runtime } from '../support/holdover.ts';
import type { MemberBackend } from '../support/member-backend.ts';
import { rawRequest } from '../support/raw-request.ts';
import { sampleRecord } from '../support/sample-directory.ts';
import { createSecret, type SigningKey, signToken, toClaims } from '../support/tokens.ts';
import { FAILURE_MODES, type FailureMode, type FailureModeName, type Fault } from './failure-modes.ts';

const certificates = createCertificates();
process.once('exit', certificates.remove);
// Miniflare reads it when it is imported, the Node process when it starts.
process.env['NODE_EXTRA_CA_CERTS'] = certificates.caPath;
const { startHoldover } = await import('../support/holdover.ts');

export const REDIS_TIMEOUT_MS = 500;
export const BACKEND_TIMEOUT_MS = 1_500;
/** What two cores with other work may add to an answer; what never ends is caught all the same. */
const MARGIN_MS = 3_000;
/** Several answers come and go until all is well again. */
const RECOVERY_MARGIN_MS = 6_000;

const SECRET = 'a secret of the fault matrix, long enough for HS256';

/** Starts what ships, with short deadlines; `env` comes last. */
export function start(runtime: Runtime, backend: MemberBackend, env: Readonly<Record<string, string>>) {
  return startHoldover(runtime, toEnvironment(backend, env));
}

export function toEnvironment(backend: MemberBackend, env: Readonly<Record<string, string>>): Record<string, string> {
  return {
    NODE_EXTRA_CA_CERTS: certificates.caPath,
    ...(env['LEGACY_TOKEN_KEYS_URL'] === undefined ? { LEGACY_TOKEN_SECRET: SECRET } : {}),
    ORGANIZATIONS: 'redis',
    BACKEND_URL: `http://127.0.0.1:${backend.port}/v1`,
    BACKEND_TOKEN_URL: `http://127.0.0.1:${backend.port}/oauth/token`,
    BACKEND_CREDENTIALS: backend.credentials,
    BACKEND_TIMEOUT_MS: `${BACKEND_TIMEOUT_MS}`,
    REDIS_TIMEOUT_MS: `${REDIS_TIMEOUT_MS}`,
    RATE_LIMIT: '100000/1h',
    ...env,
  };
}

export function startTlsProxy(targetPort: number): Promise<FaultProxy> {
  return startFaultProxy({ targetPort, certificates });
}

/** A directory with `guid` for each credential, and more of the first one: `cold-1` to `cold-N`. Every UUID is a user. */
export function toDirectory(credentials: readonly string[], colds = 0, changes: object = {}): string {
  const record = (guid: string, credential: string) =>
    sampleRecord({ guid, shared: true, backend: { organization_id: `org-${credential}`, credential }, ...changes });
  const organizations = [
    ...credentials.map((credential) => record(credential, credential)),
    ...Array.from({ length: colds }, (_, index) => record(`cold-${index + 1}`, credentials[0] ?? '')),
  ];
  return JSON.stringify({ organizations, users: {}, unmapped_users: 'same' });
}

export interface Seen {
  readonly status: number;
  /** Of the legacy error. */
  readonly code: number | undefined;
  /** X-RateLimit-Remaining */
  readonly remaining: number | undefined;
  readonly headers: ReadonlyMap<string, string>;
  readonly requestId: string;
  readonly ms: number;
}

export interface Ask {
  readonly guid: string;
  readonly user: string;
  readonly caller?: string;
  readonly key?: SigningKey;
}

/** An Authorization header. */
export async function toBearer(caller = 'admin', key: SigningKey = createSecret(SECRET)): Promise<string> {
  return `bearer ${await signToken(toClaims({ user_id: caller }), key)}`;
}

/** One removal, as a client asks for it. */
export async function remove(holdover: Pick<Holdover, 'url'>, { guid, user, caller, key }: Ask): Promise<Seen> {
  const bearer = await toBearer(caller, key);
  const began = performance.now();
  const { status, headers, body } = await rawRequest(holdover.url, {
    method: 'DELETE',
    target: `/v2/organizations/${guid}/users/${user}`,
    headers: { Authorization: bearer },
  });
  const ms = performance.now() - began;
  const text = body.toString();
  const code = status >= 400 ? (JSON.parse(text) as { code: number }).code : undefined;
  const remaining = headers.get('x-ratelimit-remaining');
  const requestId = headers.get('x-vcap-request-id') ?? '';
  return { status, code, remaining: remaining === undefined ? undefined : Number(remaining), headers, requestId, ms };
}

/** A member whom nobody has removed yet. */
export function newMember(backend: MemberBackend): string {
  const user = randomUUID();
  backend.add(user);
  return user;
}

/** That the client saw what the row promises, in time, and for that reason. */
export async function expectMode(holdover: Holdover, name: FailureModeName, seen: Seen): Promise<void> {
  const mode: FailureMode = FAILURE_MODES[name];
  expect({ status: seen.status, code: seen.code }).toEqual({ status: mode.client.status, code: mode.client.code });
  expect(seen.ms).toBeLessThan(toDeadlineMs(mode) + MARGIN_MS);
  const line = await findRequestLine(holdover, seen);
  expect(line['dependency']).toBe(mode.blamed);
}

/** The last line of a request. */
function findRequestLine(holdover: Holdover, { requestId }: Seen): Promise<Readonly<Record<string, unknown>>> {
  return holdover.waitForLine((line) => line['request_id'] === requestId && line['message'] === 'request');
}

function toDeadlineMs({ deadline }: FailureMode): number {
  if (deadline === undefined) return 0;
  const { times, of } = deadline;
  if (typeof of === 'object') return times * of.ms;
  return times * (of === 'REDIS_TIMEOUT_MS' ? REDIS_TIMEOUT_MS : BACKEND_TIMEOUT_MS);
}

/** Asks until all is well, no longer than the row promises, and gives what well was. */
export async function untilWell(name: FailureModeName, ask: () => Promise<Seen | undefined>): Promise<Seen> {
  const endsAt = performance.now() + FAILURE_MODES[name].recoversWithinMs + RECOVERY_MARGIN_MS;
  for (;;) {
    const seen = await ask();
    if (seen?.status === 201) return seen;
    if (performance.now() > endsAt) throw new Error(`not well again in time: ${seen?.status} / ${seen?.code}`);
    await sleep(50);
  }
}

/**
 * What was said of a removal is so: a success only where the member is gone; in the audit trail an outcome for every
 * intent; `refused` only where this request removed nobody; and nobody was taken out twice.
 */
export async function expectTruth(holdover: Holdover, backend: MemberBackend, user: string, seen: Seen): Promise<void> {
  if (seen.status === 201) expect(backend.isMember(user), 'a success for somebody who is still there').toBe(false);
  const removals = backend.removalsOf(user);
  expect(removals.length, 'times the member was taken out').toBeLessThanOrEqual(1);
  const isOurs = (line: Readonly<Record<string, unknown>>) => line['request_id'] === seen.requestId;
  await findRequestLine(holdover, seen);
  const audit = holdover.lines.filter((line) => isOurs(line) && 'audit' in line);
  const said = audit.map((line) => (line['audit'] === 'intent' ? 'intent' : line['outcome']));
  expect(said.length === 0 || (said.length === 2 && said[0] === 'intent'), `audit trail: ${said}`).toBe(true);
  if (removals.includes(seen.requestId)) expect(said[1]).not.toBe('refused');
  if (seen.status === 201) expect(['removed', 'not_a_member']).toContain(said[1]);
}

const ran = new Set<string>();

/** Notes that a row's fault was run. */
export function note(name: FailureModeName, fault: Fault, runtime: Runtime): void {
  ran.add(`${name}: ${fault}, on ${runtime}`);
}

/** What the table promises and nobody has run. */
export function notRun(isExempt: (name: FailureModeName, fault: Fault, runtime: Runtime) => boolean): string[] {
  const names = Object.keys(FAILURE_MODES) as FailureModeName[];
  return names.flatMap((name) => {
    const { faults, runtimes = ['node', 'workerd'] }: FailureMode = FAILURE_MODES[name];
    return runtimes.flatMap((runtime) =>
      faults
        .filter((fault) => !isExempt(name, fault, runtime) && !ran.has(`${name}: ${fault}, on ${runtime}`))
        .map((fault) => `${name}: ${fault}, on ${runtime}`),
    );
  });
}

/** Whether a row has that fault. */
export function has(name: FailureModeName, fault: Fault): boolean {
  const { faults }: FailureMode = FAILURE_MODES[name];
  return faults.includes(fault);
}

/** Once for each request: workerd sends head and body in two pieces, and an answer too many would be the next request's. */
export function answerHttp(bytes: string): WireFault {
  return {
    kind: 'reply',
    toBytes: (piece) => (/^[A-Z]+ [^ ]+ HTTP\/1\.1\r\n/.test(piece.toString('latin1')) ? bytes : ''),
  };
}

/** `status` line, headers and body of an answer that no library would send. */
export function toHttp(status: string, body: string, length = Buffer.byteLength(body)): string {
  return `HTTP/1.1 ${status}\r\nContent-Type: application/json\r\nContent-Length: ${length}\r\n\r\n${body}`;
}

/** More than any reader of an answer takes, and less than the length it names. */
export const HUGE_HTTP = toHttp('200 OK', `{"a":"${'x'.repeat(1024 * 1024)}`, 100 * 1024 * 1024);

/** workerd reads on until an empty line. */
export const NO_HTTP = 'SSH-2.0-OpenSSH_9.2p1 Debian-2\r\n\r\n';

/** Breaks whoever answers HTTP behind `proxy`. `wrongShape`: an answer that is HTTP, and not theirs; `slowMs`: late for all who ask. */
export function breakHttp(
  fault: Fault,
  proxy: FaultProxy,
  { slowMs, wrongShape }: { readonly slowMs: number; readonly wrongShape: string },
): Promise<void> {
  const reply = (bytes: string) => proxy.break(answerHttp(bytes));
  switch (fault) {
    case 'refused':
    case 'down at start':
      return proxy.break({ kind: 'refuse' });
    case 'dies mid-request':
      return proxy.break({ kind: 'cut', afterBytes: 0 });
    case 'frozen':
      return proxy.break({ kind: 'freeze' });
    case 'slow':
      return proxy.break({ kind: 'delay', ms: slowMs });
    case 'resets mid-answer':
      return proxy.break({ kind: 'cut', afterBytes: 40 });
    case 'garbage':
      return reply(NO_HTTP);
    case 'huge answer':
      return reply(HUGE_HTTP);
    case 'wrong shape':
      return reply(wrongShape);
    case 'answers 500':
      return reply(toHttp('500 Internal Server Error', '{}'));
    case 'TLS not trusted':
      return proxy.break({ kind: 'distrust' });
    default:
      throw new Error(`nothing that answers HTTP breaks so: ${fault}`);
  }
}
