/**
 * THE table of decisions.md, section 6: what an answer to the removal means, row by row, and what is worth repeating.
 * Pure: status first, the shape of the body second, never its words. What is done about a verdict: `client.ts`.
 */
import type { HttpAnswer } from '../http/transport.ts';
import { type ErrorBody, parseErrorBody } from './error-body.ts';
import { parseObject } from './json-body.ts';
import { parseRetryAfterMs } from './retry-after.ts';

export type Verdict =
  | { readonly kind: 'removed' }
  /** The backend itself says that it knows no such member. */
  | { readonly kind: 'missing' }
  | { readonly kind: 'refused'; readonly reason: 'user-id-invalid' | 'request-invalid' | 'forbidden' }
  | { readonly kind: 'credential-refused' }
  | { readonly kind: 'rate-limited'; readonly retryAfterSeconds: number }
  | { readonly kind: 'unknown'; readonly detail: string };

/** `nowMs`: milliseconds since the epoch. */
export function decideRemoval(answer: HttpAnswer, userId: string, nowMs: number): Verdict {
  switch (answer.status) {
    case 204:
      return { kind: 'removed' };
    case 200:
      return isEmptyOrObject(answer) ? { kind: 'removed' } : { kind: 'unknown', detail: 'answered 200 with no object' };
    case 404:
      return isMissingMember(parseErrorBody(answer.body), userId)
        ? { kind: 'missing' }
        : { kind: 'unknown', detail: 'answered 404, not as the backend itself would' };
    case 400:
      return { kind: 'refused', reason: isAboutUserId(answer.body) ? 'user-id-invalid' : 'request-invalid' };
    case 401:
      return { kind: 'credential-refused' };
    case 403:
      return { kind: 'refused', reason: 'forbidden' };
    case 429:
      return { kind: 'rate-limited', retryAfterSeconds: toRetryAfterSeconds(answer, nowMs) };
    default:
      return { kind: 'unknown', detail: `answered ${answer.status}` };
  }
}

/** Whether an answer is a gateway's, whose backend may not have seen the call: a sign of an outage. */
export function isOutage(status: number): boolean {
  return status === 502 || status === 503 || status === 504;
}

/** A Retry-After beyond this is the client's to wait. */
const LONGEST_WAIT_MS = 1_000;

/** The first repeat comes after 25 to 50 ms, the second after 50 to 100: time for a connection or a gateway to come back. */
const BACKOFF_MS = 50;

/**
 * How long to wait before asking again, in milliseconds; `undefined` where asking again is no use. `answer` is
 * undefined where the connection was refused or lost. `random`: from 0 to 1.
 */
export function toRepeatDelayMs(
  answer: HttpAnswer | undefined,
  repeats: number,
  random: number,
  nowMs: number,
): number | undefined {
  const backoffMs = BACKOFF_MS * 2 ** repeats * (0.5 + random / 2);
  if (answer === undefined || isOutage(answer.status)) return backoffMs;
  if (answer.status !== 429) return undefined;
  const retryAfterMs = parseRetryAfterMs(answer.header('Retry-After'), nowMs);
  if (retryAfterMs === undefined || retryAfterMs > LONGEST_WAIT_MS) return undefined;
  return Math.max(retryAfterMs, backoffMs);
}

/** The published success is 204 "with a JSON object": some servers will mean a 200 (backend.md, section 0). */
function isEmptyOrObject({ body, isTruncated }: HttpAnswer): boolean {
  return !isTruncated && (body.trim() === '' || parseObject(body) !== undefined);
}

const NOT_FOUND = /^urn:aerospike:errors:.*:not-found$/;

/**
 * Only the backend's own error says that the user is not there. A gateway's problem details have a title and a status,
 * too, so generation 2 counts by its URN; and an organization or operation that was not found is no missing member.
 */
function isMissingMember(error: ErrorBody | undefined, userId: string): boolean {
  if (error === undefined) return false;
  if (error.generation === 1) return true;
  if (!error.type || !NOT_FOUND.test(error.type) || error.resource?.toLowerCase() === 'organization') return false;
  return error.resourceId === undefined || error.resourceId.toLowerCase() === userId.toLowerCase();
}

function isAboutUserId(body: string): boolean {
  const error = parseErrorBody(body);
  return error?.generation === 2 && error.invalidFields.some((field) => field === '/userId' || field === 'userId');
}

function toRetryAfterSeconds(answer: HttpAnswer, nowMs: number): number {
  return Math.max(1, Math.ceil((parseRetryAfterMs(answer.header('Retry-After'), nowMs) ?? 0) / 1_000));
}
