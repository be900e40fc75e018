/**
 * THE table of what fails and what follows. `matrix.test.ts` runs every fault of every row; the README's table is made
 * of it (`toFailureModesTable`), and `test/readme.test.ts` keeps the two equal.
 */
import type { Dependency } from '../../src/failure.ts';
import type { Runtime } from '../support/holdover.ts';

export interface FailureMode {
  /** First words of the README's row: what fails. */
  readonly what: string;
  readonly faults: readonly Fault[];
  readonly client: ClientSees;
  /** What the request log blames, where the client gets 503. */
  readonly blamed?: Dependency;
  /** The longest that the fault adds to an answer; undefined where nothing waits for it. */
  readonly deadline?: Deadline;
  /** The longest until all is well again once the cause is gone, in milliseconds. */
  readonly recoversWithinMs: number;
  /** Both unless told. */
  readonly runtimes?: readonly Runtime[];
  /** Run by the matrix, and not in the README's table: it says so elsewhere, or nobody has anything to do. */
  readonly isUnlisted?: true;
  readonly why: string;
  readonly check: string;
}

export type Fault =
  | 'refused'
  | 'down at start'
  | 'dies mid-request'
  | 'frozen'
  | 'slow'
  | 'resets mid-answer'
  | 'garbage'
  | 'huge answer'
  | 'wrong shape'
  | 'TLS not trusted'
  // Redis
  | 'READONLY'
  | 'NOSCRIPT'
  | 'LOADING'
  | 'OOM'
  | 'MOVED'
  | 'AUTH failure'
  | 'failover by REPLICAOF'
  | 'flushed'
  // HTTP
  | 'answers 502, 503 or 504'
  | 'answers 500'
  | 'answers 429'
  | 'answers 401'
  | 'of another organization'
  // Files
  | 'deleted'
  | 'not JSON'
  | 'a folder in its place'
  | 'missing at start'
  | 'not JSON at start'
  // Holdover itself
  | 'killed';

export interface ClientSees {
  /** `ended`: the connection ends inside the answer. `none`: Holdover does not start, or is gone. */
  readonly status: 201 | 200 | 429 | 503 | 'ended' | 'none';
  /** Of the legacy error. */
  readonly code?: number;
  /** Said after status and code. */
  readonly note?: string;
}

export interface Deadline {
  readonly times: number;
  readonly of: 'REDIS_TIMEOUT_MS' | 'BACKEND_TIMEOUT_MS' | { readonly ms: number };
}

const AS_EVER: ClientSees = { status: 201, note: 'the usual answer' };
const UNAVAILABLE: ClientSees = { status: 503, code: 10015 };

/** All that a server behind a line can do wrong. */
const BY_WIRE = [
  'refused',
  'dies mid-request',
  'frozen',
  'slow',
  'resets mid-answer',
  'garbage',
  'huge answer',
  'wrong shape',
  'TLS not trusted',
] as const satisfies Fault[];

/** Redis answers, and what it answers helps nobody. */
const REDIS_USELESS = ['LOADING', 'MOVED', 'AUTH failure'] as const satisfies Fault[];

export const FAILURE_MODES = {
  limitsLocal: {
    what: 'Redis, limits (`RATE_LIMIT_ON_FAILURE=local`)',
    faults: ['down at start', ...BY_WIRE, ...REDIS_USELESS, 'READONLY', 'OOM'],
    client: AS_EVER,
    deadline: { times: 1, of: 'REDIS_TIMEOUT_MS' },
    recoversWithinMs: 2_000,
    why: 'Each process or isolate counts by itself meanwhile, so a caller may get up to N per replica. After three failures Redis is asked once a second, and requests wait for nothing.',
    check:
      '`not connected to Redis` in the log has the reason; `Redis decides no rate limits` from the third failure on; `holdover_breaker_state`.',
  },
  limitsOpen: {
    what: 'Redis, limits (`RATE_LIMIT_ON_FAILURE=open`)',
    faults: ['down at start', 'refused', 'frozen', 'READONLY'],
    client: { ...AS_EVER, note: 'the usual answer, without `X-RateLimit-*`' },
    deadline: { times: 1, of: 'REDIS_TIMEOUT_MS' },
    recoversWithinMs: 2_000,
    runtimes: ['node'],
    why: 'Nobody is limited meanwhile.',
    check: 'The same.',
  },
  limitsClosed: {
    what: 'Redis, limits (`RATE_LIMIT_ON_FAILURE=closed`)',
    faults: ['refused', 'frozen', 'READONLY'],
    client: UNAVAILABLE,
    blamed: 'redis',
    deadline: { times: 1, of: 'REDIS_TIMEOUT_MS' },
    recoversWithinMs: 2_000,
    why: 'Nothing is removed that was not counted. Never 429.',
    check: 'The same.',
  },
  limitsKept: {
    what: 'Redis, limits',
    faults: ['NOSCRIPT', 'failover by REPLICAOF'],
    client: AS_EVER,
    deadline: { times: 1, of: 'REDIS_TIMEOUT_MS' },
    recoversWithinMs: 2_000,
    why: 'The script is sent again; a primary that has become a replica is left, and its address asked anew. Units that were not replicated yet are forgotten.',
    check: 'Nothing to do.',
    isUnlisted: true,
  },
  directoryCold: {
    what: 'Redis, directory: an organization or user that is not cached',
    faults: ['down at start', ...BY_WIRE, ...REDIS_USELESS, 'flushed'],
    client: { ...UNAVAILABLE, note: 'never 404, and never the origin' },
    blamed: 'directory',
    deadline: { times: 3, of: 'REDIS_TIMEOUT_MS' },
    recoversWithinMs: 2_000,
    why: 'A directory that cannot be read, or has lost its marker, must not look like deleted organizations. `/readyz` is 503 only until it was read once.',
    check: '`directory unavailable` in the log; load it again after a flush: `npm run directory -- load FILE`.',
  },
  directoryCached: {
    what: 'Redis, directory: what is cached',
    faults: [...BY_WIRE, ...REDIS_USELESS, 'flushed'],
    client: AS_EVER,
    deadline: { times: 3, of: 'REDIS_TIMEOUT_MS' },
    recoversWithinMs: 2_000,
    why: 'It serves for 15 minutes past `ORGANIZATION_CACHE_SECONDS`, then 503 / 10015.',
    check: '`holdover_stale_serves_total`.',
  },
  directoryFile: {
    what: 'Directory in a file',
    faults: ['deleted', 'not JSON', 'wrong shape', 'a folder in its place'],
    client: AS_EVER,
    recoversWithinMs: 1_000,
    runtimes: ['node'],
    why: 'The last good version stays in force. Missing or broken at the start, it is a configuration error: Holdover does not start.',
    check: '`file not usable` in the log lists the mistakes; `npm run directory -- check FILE`.',
  },
  directoryFileAtStart: {
    what: 'Directory in a file, at the start',
    faults: ['missing at start', 'not JSON at start'],
    client: { status: 'none', note: 'Holdover does not start' },
    recoversWithinMs: 0,
    runtimes: ['node'],
    why: 'There is no last good version.',
    check: 'Standard error lists every mistake.',
    isUnlisted: true,
  },
  keySetCold: {
    what: 'Key set, before it was ever loaded',
    faults: ['down at start', ...BY_WIRE],
    client: UNAVAILABLE,
    blamed: 'key-set',
    deadline: { times: 1, of: { ms: 3_000 } },
    recoversWithinMs: 5_000,
    why: 'No token can be verified, so nobody is let in, and nobody is told that the token is bad. Asked again after 5 s. `/readyz` is 503 until then.',
    check: '`the key set could not be loaded` in the log has the reason; `LEGACY_TOKEN_KEYS_URL`.',
  },
  keySetLoaded: {
    what: 'Key set, later',
    faults: [...BY_WIRE],
    client: { ...AS_EVER, note: 'the usual answer; a token of an unknown `kid` 401 / 1000' },
    recoversWithinMs: 5_000,
    runtimes: ['node'],
    why: 'The keys serve on for 24 hours, then 503 / 10015. Refreshed behind the requests.',
    check: '`/readyz` says how old the keys are.',
  },
  backendUnreached: {
    what: 'Backend, not reached',
    faults: ['refused', 'down at start', 'TLS not trusted'],
    client: UNAVAILABLE,
    blamed: 'backend',
    deadline: { times: 1, of: 'BACKEND_TIMEOUT_MS' },
    recoversWithinMs: 1_000,
    why: 'Nothing was removed. Tried three times within the deadline; after ten failures in a row refused at once, with one probe a second.',
    check: '`BACKEND_URL`, its certificate, the network; `backend` in `/readyz`.',
  },
  backendLostOnce: {
    what: 'Backend, an answer lost',
    faults: ['dies mid-request', 'resets mid-answer', 'answers 502, 503 or 504'],
    client: AS_EVER,
    deadline: { times: 1, of: 'BACKEND_TIMEOUT_MS' },
    recoversWithinMs: 0,
    why: 'The call is repeated, twice at most, and a 404 then is the work of the first try.',
    check: 'Nothing to do; `tries` in the request log.',
  },
  backendUnclear: {
    what: 'Backend, no answer that says what happened',
    faults: ['frozen', 'slow', 'garbage', 'huge answer', 'wrong shape', 'answers 500'],
    client: UNAVAILABLE,
    blamed: 'backend',
    deadline: { times: 1, of: 'BACKEND_TIMEOUT_MS' },
    recoversWithinMs: 1_000,
    why: 'The member may be gone, and the audit trail says `unknown`. A repeat is harmless, and a success where the member is gone.',
    check: '`backend_status` and `reason` in the request log; the backend by its `backend_request_id`.',
  },
  backendLimits: {
    what: 'Backend, too many calls',
    faults: ['answers 429'],
    client: { status: 429, code: 10013, note: 'with `Retry-After`' },
    deadline: { times: 1, of: 'BACKEND_TIMEOUT_MS' },
    recoversWithinMs: 0,
    why: 'A `Retry-After` of at most 1 s is waited out; beyond that the client is to wait.',
    check: 'Who calls so often; `RATE_LIMIT_ORGANIZATION`.',
    isUnlisted: true,
  },
  credential: {
    what: 'Backend credential',
    faults: ['answers 401', 'of another organization'],
    client: UNAVAILABLE,
    blamed: 'backend',
    deadline: { times: 1, of: 'BACKEND_TIMEOUT_MS' },
    recoversWithinMs: 10_000,
    why: 'Nothing was removed. A refused token is replaced once per request, and once in 10 s; one of another organization is never used.',
    check: '`npm run directory -- check FILE --live`; a changed credential file counts at once.',
  },
  tokenCold: {
    what: 'Token endpoint, no access token yet or expired',
    faults: ['down at start', ...BY_WIRE, 'answers 500'],
    client: UNAVAILABLE,
    blamed: 'backend',
    deadline: { times: 1, of: 'BACKEND_TIMEOUT_MS' },
    recoversWithinMs: 1_000,
    why: 'Nothing was removed. Asked again after 1 s.',
    check: '`no access token` in the log; `BACKEND_TOKEN_URL`, the credential.',
  },
  tokenCached: {
    what: 'Token endpoint, an access token still good',
    faults: [...BY_WIRE, 'answers 500'],
    client: AS_EVER,
    recoversWithinMs: 0,
    why: 'Refreshed from 5 minutes before its end, behind the requests.',
    check: 'Nothing to do before it expires.',
  },
  origin: {
    what: 'Origin, calls that are passed on',
    faults: ['refused', 'down at start', 'dies mid-request', 'frozen', 'garbage', 'wrong shape', 'TLS not trusted'],
    client: { ...UNAVAILABLE, note: 'what is adapted goes on' },
    blamed: 'origin',
    deadline: { times: 1, of: { ms: 60_000 } },
    recoversWithinMs: 0,
    why: 'A call without a body is repeated once where the connection was lost. One without a first byte is given up after 60 s.',
    check: '`LEGACY_ORIGIN_URL`; `origin_ms` in the request log.',
  },
  originBroken: {
    what: 'Origin, an answer that breaks off',
    faults: ['resets mid-answer'],
    client: { status: 'ended', note: 'the connection ends, so that half an answer never looks whole' },
    recoversWithinMs: 0,
    why: 'Its head has been passed on already.',
    check: '`the origin broke off an answer` in the log (Node).',
  },
  originSlow: {
    what: 'Origin, slow or long answers',
    faults: ['slow', 'huge answer'],
    client: { status: 200, note: "the origin's answer, as it comes" },
    recoversWithinMs: 0,
    why: 'It is streamed, and has no deadline once it has begun.',
    check: '`origin_ms`.',
    isUnlisted: true,
  },
  crash: {
    what: 'Holdover, in the middle of a removal',
    faults: ['killed'],
    client: { status: 'none', note: 'no answer' },
    recoversWithinMs: 0,
    runtimes: ['node'],
    why: 'The intent stands in the audit trail without an outcome. A repeat tells: a success where the member is gone.',
    check: 'Intents without an outcome.',
  },
} as const satisfies Record<string, FailureMode>;

export type FailureModeName = keyof typeof FAILURE_MODES;

/** GitHub-flavoured Markdown, one row for each mode, and what its short words stand for. */
export function toFailureModesTable(): string {
  const listed = Object.values<FailureMode>(FAILURE_MODES).filter((mode) => !mode.isUnlisted);
  const rows = listed.map((mode) => [`**${mode.what}**: ${toFaults(mode)}`, toSeen(mode), toWhy(mode), mode.check]);
  const head = ['what fails', 'what the client sees', 'why, and what still works', 'what to check'];
  const [first, ...others] = [head, ...rows].map((cells) => `| ${cells.join(' | ')} |`);
  const table = [first, '|---|---|---|---|', ...others].join('\n');
  return `${table}\n\n"${NO_USE}" is each of these: ${BY_WIRE.join(', ')}.\n`;
}

const NO_USE = 'gives no usable answer';

function toFaults({ faults }: FailureMode): string {
  const isAll = BY_WIRE.every((fault) => faults.includes(fault));
  if (!isAll) return faults.join(', ');
  const others = faults.filter((fault) => !BY_WIRE.some((one) => one === fault));
  return [NO_USE, ...others].join(', ');
}

function toSeen({ client: { status, code, note }, deadline }: FailureMode): string {
  const isError = code !== undefined;
  const parts = isError
    ? [`${status} / ${code}${deadline ? ` within ${toText(deadline)}` : ''}`, note]
    : [note, deadline && `at most ${toText(deadline)} later`];
  return parts.filter((part) => part !== undefined).join('; ');
}

function toText({ times, of }: Deadline): string {
  const unit = typeof of === 'string' ? `\`${of}\`` : `${of.ms / 1_000} s`;
  return times === 1 ? unit : `${times} × ${unit}`;
}

function toWhy({ why, recoversWithinMs }: FailureMode): string {
  if (recoversWithinMs === 0) return why;
  return `${why} Over within ${recoversWithinMs / 1_000} s once the cause is gone.`;
}
