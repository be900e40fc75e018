/**
 * What passing a call on to the origin means on either runtime: which header lines leave, and what is a failure
 * (decisions.md, section 9). `undici.ts` carries it on Node, `fetch.ts` on Workers; `headers.ts` has the lines.
 */

import type { Call } from '../call.ts';
import { fail, type Result, succeed } from '../failure.ts';
import { type HeaderLines, hasPassedHere, toOriginHeaders } from './headers.ts';
import { toOriginTarget } from './target.ts';

export interface OriginOptions {
  /** LEGACY_ORIGIN_URL: scheme, host and port of the old server. */
  readonly originUrl: string;
  /** TRUSTED_PROXIES: above 0, what the request says of earlier hops is believed and passed on. */
  readonly trustedProxies: number;
  /** Longest silence before the first byte of an answer. For tests; else `FIRST_BYTE_TIMEOUT_MS`. */
  readonly firstByteTimeoutMs?: number;
}

/**
 * Milliseconds without any progress until the origin counts as gone: no byte of the request taken, none of an answer
 * come. nginx's own default between two reads, and longer than any call of the legacy API took. Once an answer has
 * begun there is no deadline: server-sent events may be silent for hours.
 */
export const FIRST_BYTE_TIMEOUT_MS = 60_000;

/** Statuses that HTTP defines for a final answer (RFC 9110, section 15); no other can be passed on by both runtimes. */
const LAST_STATUS = 599;

/** What a client that hung up is logged with, as nginx does; nobody receives it. */
export const CLIENT_CLOSED_REQUEST = 499;

export interface OriginRequest {
  /** Path and query. */
  readonly target: string;
  readonly headers: string[];
}

/** What is asked of the origin. Fails with `proxy-loop`. */
export function toOriginRequest(
  call: Call,
  lines: HeaderLines,
  hop: { readonly peer: string | undefined; readonly scheme: 'http' | 'https' },
  options: OriginOptions,
): Result<OriginRequest> {
  if (hasPassedHere(lines)) return fail({ kind: 'proxy-loop' });
  // The old server answers `<what it was sent>::<its own>`: with the client's id untouched that is what it always was.
  const freshId = call.requestId === call.uuid ? call.uuid : undefined;
  const headers = toOriginHeaders(lines, { ...hop, freshId, isTrusted: options.trustedProxies > 0 });
  return succeed({ target: toOriginTarget(call.rawTarget), headers });
}

/** Whether nothing is lost by asking again when a kept-alive connection turned out to be dead (RFC 9110, section 9.2.2). */
export function isRepeatable(method: string, hasBody: boolean): boolean {
  return !hasBody && (method === 'GET' || method === 'HEAD' || method === 'OPTIONS');
}

export function isPassable(status: number): boolean {
  return status >= 200 && status <= LAST_STATUS;
}

export function toUnavailable(reason: string): Result<never> {
  return fail({ kind: 'unavailable', dependency: 'origin', reason });
}
