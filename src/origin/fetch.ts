/**
 * The origin on Workers, over `fetch`. What is passed on is `headers.ts`'s; the order and case of lines, and what
 * Cloudflare adds of its own (CF-Worker), are the platform's. On Node: `undici.ts`.
 */

import type { Call } from '../call.ts';
import { type Result, succeed } from '../failure.ts';
import type { Services } from '../pipeline.ts';
import { toClientHeaders } from './headers.ts';
import {
  CLIENT_CLOSED_REQUEST,
  FIRST_BYTE_TIMEOUT_MS,
  isPassable,
  isRepeatable,
  type OriginOptions,
  toOriginRequest,
  toUnavailable,
} from './origin.ts';

/** What workerd has beyond the standard. */
declare const FixedLengthStream: new (bytes: number) => TransformStream<Uint8Array, Uint8Array>;
declare const IdentityTransformStream: new () => TransformStream<Uint8Array, Uint8Array>;
interface WorkersRequestInit extends RequestInit {
  readonly encodeResponseBody: 'manual';
}
interface WorkersResponseInit extends ResponseInit {
  readonly encodeBody: 'manual';
}

/** Fails with `proxy-loop` or `unavailable`. */
export function createFetchOrigin(options: OriginOptions, fetchLike: typeof fetch): NonNullable<Services['origin']> {
  const { originUrl, firstByteTimeoutMs = FIRST_BYTE_TIMEOUT_MS } = options;
  return async (call) => {
    const { request } = call;
    const asked = toOriginRequest(call, toLines(request), toHop(request), options);
    if (!asked.ok) return asked;
    const { target, headers } = asked.value;
    const deadline = createDeadline(firstByteTimeoutMs);
    const signal = AbortSignal.any([request.signal, deadline.signal]);
    const init: WorkersRequestInit = {
      headers: toHeaders(headers),
      redirect: 'manual',
      signal,
      // Compressed bytes are neither unpacked here nor packed again in `toPassed`.
      encodeResponseBody: 'manual',
    };
    const body = openBody(call, deadline.start);
    const ask = () => fetchLike(new Request(originUrl + target, toMessage(request, body)), init);
    try {
      const response = await ask().catch((error) => {
        if (!isRepeatable(request.method, body !== null) || signal.aborted) throw error;
        return ask();
      });
      return toPassed(response);
    } catch (error) {
      if (deadline.signal.aborted) return toUnavailable(`no answer began within ${firstByteTimeoutMs} ms`);
      if (request.signal.aborted) return succeed(new Response(null, { status: CLIENT_CLOSED_REQUEST }));
      return toUnavailable(String(error));
    } finally {
      deadline.stop();
    }
  };
}

function toPassed(response: Response): Result<Response> {
  const { status, statusText } = response;
  if (!isPassable(status)) return toUnavailable(`the origin answered with status ${status}`);
  // Deleted from a copy, not copied one by one: workerd keeps the lines of one name apart only that way.
  const headers = new Headers(response.headers);
  const kept = new Set(toClientHeaders([...headers].flat()).filter((_, index) => index % 2 === 0));
  for (const name of [...headers.keys()]) {
    if (!kept.has(name)) headers.delete(name);
  }
  const init: WorkersResponseInit = { status, statusText, headers, encodeBody: 'manual' };
  return succeed(new Response(response.body, init));
}

/** Cloudflare's edge puts an Accept-Encoding of its own into every request, and the client's into `cf`. */
function toLines(request: Request & { readonly cf?: { readonly clientAcceptEncoding?: string } }): string[] {
  const accepted = request.cf?.clientAcceptEncoding;
  const headers = new Headers(request.headers);
  if (accepted !== undefined) headers.delete('accept-encoding');
  return [...headers, ...(accepted ? [['Accept-Encoding', accepted]] : [])].flat();
}

function toHeaders(lines: readonly string[]): Headers {
  const headers = new Headers();
  for (let index = 0; index + 1 < lines.length; index += 2) {
    headers.append(lines[index] as string, lines[index + 1] as string);
  }
  return headers;
}

function toHop({ headers, url }: Request): { peer: string | undefined; scheme: 'http' | 'https' } {
  return {
    // Set by Cloudflare's edge; what a client sends under this name never gets here.
    peer: headers.get('cf-connecting-ip') ?? undefined,
    scheme: url.startsWith('https:') ? 'https' : 'http',
  };
}

/** `null`: none. `request`: its own, which only a Request made from it can take along on a GET. */
type Body = Uint8Array | ReadableStream<Uint8Array> | 'request' | null;

/** `onSent` is called when the origin has all of the body, or at once where that cannot be seen. */
function openBody({ request, body }: Call, onSent: () => void): Body {
  const isGet = request.method === 'GET' || request.method === 'HEAD';
  if (body !== undefined || request.body === null || isGet) {
    onSent();
    if (body === undefined) return request.body === null ? null : 'request';
    // workerd makes no GET with a body that is not the request's.
    return body.byteLength === 0 || isGet ? null : body;
  }
  const length = request.headers.get('content-length');
  // With both, workerd reads by Transfer-Encoding: the length is a lie then.
  const isChunked = length === null || request.headers.has('transfer-encoding');
  const { readable, writable } = isChunked ? new IdentityTransformStream() : new FixedLengthStream(Number(length));
  // A broken pipe is seen, and reported, by the fetch that reads its other end.
  request.body.pipeTo(writable).then(onSent, () => undefined);
  return readable;
}

function toMessage(request: Request, body: Body): RequestInit {
  if (body === 'request') return request;
  return { method: request.method, body: body as NonNullable<RequestInit['body']> | null };
}

interface Deadline {
  readonly signal: AbortSignal;
  /** Nothing happens when it has been stopped already. */
  readonly start: () => void;
  readonly stop: () => void;
}

function createDeadline(timeoutMs: number): Deadline {
  const late = new AbortController();
  let timer: NodeJS.Timeout | undefined;
  let isOver = false;
  return {
    signal: late.signal,
    start() {
      if (!isOver) timer = setTimeout(() => late.abort(), timeoutMs);
    },
    stop() {
      isOver = true;
      clearTimeout(timer);
    },
  };
}
