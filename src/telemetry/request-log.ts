/**
 * What is known of one request when it ends, and the one log line it becomes. Never a token, secret, query or body, and
 * no path: everything a client can write into it is bounded. What is counted of it: `metrics.ts`; the lines of a
 * removal itself: `audit.ts`.
 */
import type { RemovalOutcome } from '../backend/client.ts';
import type { Failure } from '../failure.ts';
import type { Log } from './log.ts';

export type StepName = 'authenticate' | 'limit' | 'directory' | 'backend' | 'origin';

export const STEP_NAMES: readonly StepName[] = ['authenticate', 'limit', 'directory', 'backend', 'origin'];

/** The pipeline fills it in; nothing here is secret. */
export interface RequestRecord {
  operation: string | undefined;
  profile: string | undefined;
  organization: string | undefined;
  caller: string | undefined;
  clientId: string | undefined;
  failure: Failure | undefined;
  removal: RemovalOutcome | undefined;
  isPassedOn: boolean;
  /** Adds the time since the previous call to `name`. */
  step(name: StepName): void;
  /** Milliseconds spent in that step so far; 0 where it never ran. */
  stepMs(name: StepName): number;
  /** Milliseconds since the request came. */
  elapsedMs(): number;
}

/** A record of a request that comes now. */
export function createRequestRecord(monotonicMs: () => number): RequestRecord {
  return new TimedRecord(monotonicMs);
}

/** What of an answered request is the same for the log and the metrics. */
export interface Ending {
  readonly method: string;
  /** The client's X-VCAP-Request-ID. */
  readonly requestId: string;
  readonly status: number;
  readonly durationMs: number;
  /** First product of User-Agent, with its version. */
  readonly product: string | undefined;
  readonly outcome: Outcome;
}

export type Outcome = Failure['kind'] | RemovalOutcome['outcome'] | 'passed-on' | 'success';

export function toEnding(request: Request, requestId: string, record: RequestRecord, status: number): Ending {
  return {
    method: request.method,
    requestId,
    status,
    durationMs: record.elapsedMs(),
    product: toProduct(request.headers.get('user-agent')),
    outcome: record.failure?.kind ?? (record.isPassedOn ? 'passed-on' : (record.removal?.outcome ?? 'success')),
  };
}

/** One line. At `error` only for what is a bug of ours. */
export function logRequest(log: Log, record: RequestRecord, ending: Ending): void {
  const { failure, removal } = record;
  const fields = {
    request_id: ending.requestId,
    backend_request_id: cap(removal?.backendRequestId),
    method: cap(ending.method),
    operation: record.operation,
    profile: record.profile,
    caller: cap(record.caller),
    client_id: cap(record.clientId),
    client: ending.product,
    organization: cap(record.organization),
    outcome: ending.outcome,
    dependency: failure !== undefined && 'dependency' in failure ? failure.dependency : undefined,
    reason: failure !== undefined && 'reason' in failure ? cap(failure.reason, REASON_MAX_LENGTH) : undefined,
    status: ending.status,
    backend_status: removal?.backendStatus,
    tries: removal?.tries,
    ms: round(ending.durationMs),
    authenticate_ms: toStep(record, 'authenticate'),
    limit_ms: toStep(record, 'limit'),
    directory_ms: toStep(record, 'directory'),
    backend_ms: toStep(record, 'backend'),
    origin_ms: toStep(record, 'origin'),
  };
  if (failure?.kind === 'unexpected') log.error('request', fields);
  else log.info('request', fields);
}

class TimedRecord implements RequestRecord {
  operation: string | undefined = undefined;
  profile: string | undefined = undefined;
  organization: string | undefined = undefined;
  caller: string | undefined = undefined;
  clientId: string | undefined = undefined;
  failure: Failure | undefined = undefined;
  removal: RemovalOutcome | undefined = undefined;
  isPassedOn = false;
  readonly #monotonicMs: () => number;
  readonly #startedAt: number;
  readonly #steps: Record<StepName, number> = { authenticate: 0, limit: 0, directory: 0, backend: 0, origin: 0 };
  #steppedAt: number;

  constructor(monotonicMs: () => number) {
    this.#monotonicMs = monotonicMs;
    this.#startedAt = monotonicMs();
    this.#steppedAt = this.#startedAt;
  }

  step(name: StepName): void {
    const now = this.#monotonicMs();
    this.#steps[name] += now - this.#steppedAt;
    this.#steppedAt = now;
  }

  stepMs(name: StepName): number {
    return this.#steps[name];
  }

  elapsedMs(): number {
    return this.#monotonicMs() - this.#startedAt;
  }
}

/** `name` or `name/version` in the characters of RFC 9110, section 10.1.5; anything else is not a product. */
const PRODUCT = /^[!#$%&'*+.^_`|~0-9A-Za-z-]{1,40}(?:\/[!#$%&'*+.^_`|~0-9A-Za-z-]{1,40})?(?=[\s;(]|$)/;

function toProduct(userAgent: string | null): string | undefined {
  return userAgent === null ? undefined : PRODUCT.exec(userAgent)?.[0];
}

/** An id of the legacy contract is at most 255 characters; what is longer is noise, or an attack on the log. */
const TEXT_MAX_LENGTH = 255;

/** The stack of a bug wants more. */
const REASON_MAX_LENGTH = 4096;

function cap(text: string | undefined, maxLength = TEXT_MAX_LENGTH): string | undefined {
  return text === undefined || text.length <= maxLength ? text : `${text.slice(0, maxLength)}…`;
}

function toStep(record: RequestRecord, name: StepName): number | undefined {
  return round(record.stepMs(name)) || undefined;
}

/** To microseconds: more is noise. */
function round(ms: number): number {
  return Math.round(ms * 1000) / 1000;
}
