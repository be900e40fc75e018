/**
 * The one backend host. Every call to it passes here: its breaker, its slots, its repeats (decisions.md, section 6).
 * What is asked, and what an answer means, is the callers' to know: `client.ts`, `organization-check.ts`, `member-list.ts`.
 */
import { Breaker, type BreakerState } from '../breaker.ts';
import { type HttpAnswer, type HttpRequest, type Transport, TransportError } from '../http/transport.ts';
import type { Scope } from '../scope.ts';
import type { Log } from '../telemetry/log.ts';
import type { Meter } from '../telemetry/meter.ts';
import type { Deadline } from './deadline.ts';
import { isOutage, toRepeatDelayMs } from './failures.ts';
import { RepeatBudget } from './repeat-budget.ts';
import { Slots } from './slots.ts';

export interface BackendHostOptions {
  /** BACKEND_URL */
  readonly url: string;
  /** BACKEND_CONCURRENCY */
  readonly concurrency: number;
  readonly transport: Transport;
  readonly log: Log;
  readonly meter: Meter;
  readonly monotonicMs: () => number;
  /** Milliseconds since the epoch, for dates in headers. */
  readonly nowMs: () => number;
  /** From 0 to 1. */
  readonly random: () => number;
}

/** Whom a call is made for. */
export interface BackendCall {
  readonly scope: Scope;
  readonly deadline: Deadline;
  readonly requestId: string;
  readonly traceparent: string;
}

export interface BackendRequest {
  readonly method: 'GET' | 'DELETE';
  /** From the base URL on; its parts are encoded. */
  readonly path: string;
  /** The header's value: `Bearer ` and the token. */
  readonly authorization: string;
  readonly maxBytes: number;
}

/** How a request ended, after its repeats. */
export type Sent =
  | { readonly kind: 'answer'; readonly answer: HttpAnswer }
  | { readonly kind: 'lost'; readonly code: TransportError['code'] }
  | { readonly kind: 'not-sent'; readonly detail: string };

/** What has become of a request so far, over all its tries. */
export interface Progress {
  tries: number;
  repeats: number;
  lastAnswer: HttpAnswer | undefined;
  /** The connection of a try ended without an answer. */
  isAnswerLost: boolean;
  /** A try may have been carried out although its answer did not say so. */
  mayHaveRun: boolean;
}

export function startProgress(): Progress {
  return { tries: 0, repeats: 0, lastAnswer: undefined, isAnswerLost: false, mayHaveRun: false };
}

const MOST_REPEATS = 2;

const BREAKER = { failuresToOpen: 10, openMs: 1_000 } as const;

const ACCEPT = 'application/json, application/problem+json';

export class BackendHost {
  readonly #options: BackendHostOptions;
  readonly #breaker: Breaker;
  readonly #slots: Slots;
  readonly #budget: RepeatBudget;

  constructor(options: BackendHostOptions) {
    const { concurrency, log, meter, monotonicMs } = options;
    this.#options = options;
    this.#slots = new Slots(concurrency, monotonicMs);
    this.#budget = new RepeatBudget(monotonicMs);
    this.#breaker = new Breaker({
      ...BREAKER,
      monotonicMs,
      onChange(state) {
        meter.breaker('backend', state);
        if (state === 'closed') log.info('the backend answers again');
        if (state === 'open') log.warn('the backend does not answer: calls are refused for a moment');
      },
    });
  }

  get breaker(): BreakerState {
    return this.#breaker.state;
  }

  get inFlight(): number {
    return this.#slots.taken;
  }

  /** Sends, and repeats what may succeed on repetition. Where no repeat could leave, what came before is what is known. */
  async send(request: BackendRequest, call: BackendCall, progress: Progress): Promise<Sent> {
    const { url, transport, random, nowMs } = this.#options;
    const { deadline, scope } = call;
    this.#budget.countCall();
    for (let known: Sent | undefined; ; progress.repeats += 1) {
      if (!this.#breaker.tryAcquire()) return known ?? notSent('the backend does not answer at present');
      const slot = this.#slots.tryTake(deadline) ?? (await this.#slots.take(deadline, scope));
      if (slot === undefined) return known ?? notSent('too many calls were in flight until the deadline');
      try {
        if (deadline.remainingMs === 0) return known ?? notSent('the deadline passed');
        progress.tries += 1;
        known = this.#answered(await transport(toHttpRequest(url, request, call)), progress);
      } catch (error) {
        if (!(error instanceof TransportError)) throw error;
        known = this.#lost(error.code, progress);
      } finally {
        this.#slots.giveBack(slot);
      }
      if (progress.repeats >= MOST_REPEATS) return known;
      const answer = known.kind === 'answer' ? known.answer : undefined;
      const delayMs = toRepeatDelayMs(answer, progress.repeats, random(), nowMs());
      if (delayMs === undefined || delayMs >= deadline.remainingMs || !this.#budget.trySpend()) return known;
      await deadline.sleep(delayMs);
    }
  }

  #answered(answer: HttpAnswer, progress: Progress): Sent {
    progress.lastAnswer = answer;
    if (isOutage(answer.status)) {
      progress.mayHaveRun = true;
      this.#breaker.failed();
    } else {
      this.#breaker.succeeded();
    }
    return { kind: 'answer', answer };
  }

  #lost(code: TransportError['code'], progress: Progress): Sent {
    if (code !== 'connect') progress.mayHaveRun = true;
    if (code === 'reset') progress.isAnswerLost = true;
    this.#breaker.failed();
    return { kind: 'lost', code };
  }
}

function notSent(detail: string): Sent {
  return { kind: 'not-sent', detail };
}

function toHttpRequest(url: string, request: BackendRequest, call: BackendCall): HttpRequest {
  return {
    method: request.method,
    url: url + request.path,
    headers: {
      Authorization: request.authorization,
      Accept: ACCEPT,
      'X-Request-Id': call.requestId,
      traceparent: call.traceparent,
    },
    timeoutMs: call.deadline.remainingMs,
    maxBytes: request.maxBytes,
  };
}
