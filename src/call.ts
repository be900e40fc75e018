/** One request on its way through the pipeline, and what goes back. Which steps it passes: `pipeline.ts`. */
import type { Failure, RateLimitSubject } from './failure.ts';
import type { Shape } from './legacy/era.ts';
import { toLegacyError } from './legacy/errors.ts';
import type { Answer } from './legacy/operation.ts';
import type { Verdict } from './policy/rate-limit.ts';
import type { RequestRecord } from './telemetry/request-log.ts';

/** One request, as far as `app.ts` has read it. */
export interface Call {
  readonly request: Request;
  /** Step 1. What the client sees in X-VCAP-Request-ID. */
  readonly requestId: string;
  /** Step 1. The fresh part of it, which goes to the backend. */
  readonly uuid: string;
  /** The client's address, canonical; `unknown` where there is none. */
  readonly ip: string;
  /** Path and query exactly as sent, for the origin. */
  readonly rawTarget: string;
  readonly query: URLSearchParams;
  /** Step 3 sets it. Undefined where the body was not read: calls that are not adapted. */
  body: Uint8Array | undefined;
  /** What the request log will say. Filled in as the steps run. */
  readonly record: RequestRecord;
}

/** What goes back to the client: a legacy answer, still without its common headers, or the origin's. */
export type Reply =
  | { readonly answer: Answer; readonly headers: Record<string, string> }
  | { readonly passed: Response };

/** The legacy answer for a failure, which the record keeps. */
export function toRefusal(failure: Failure, shape: Shape, call: Call, verdict?: Verdict): Reply {
  call.record.failure = failure;
  const { status, body, headers } = toLegacyError(failure, shape);
  return { answer: { status, body }, headers: { ...toRateLimitHeaders(verdict), ...headers } };
}

export function toRateLimited(subject: RateLimitSubject, verdict: Verdict): Failure {
  return { kind: 'rate-limited', subject, retryAfterSeconds: verdict.retryAfterSeconds };
}

export function toRateLimitHeaders(verdict: Verdict | undefined): Record<string, string> {
  if (verdict === undefined) return {};
  return {
    'X-RateLimit-Limit': `${verdict.limit}`,
    'X-RateLimit-Remaining': `${verdict.remaining}`,
    'X-RateLimit-Reset': `${verdict.resetAtSeconds}`,
  };
}
