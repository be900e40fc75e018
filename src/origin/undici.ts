/**
 * The origin on Node. Both messages are piped beneath the web types, from the listener's own request and into its own
 * answer: a `Headers` would sort the lines, fold their case and join duplicates, @hono/node-server would add a
 * Content-Type, hide the body of a GET, and end a broken answer with the text of the error. What is passed on is
 * `headers.ts`'s; on Workers: `fetch.ts`.
 */
import type { IncomingMessage, ServerResponse } from 'node:http';
import { type Readable, Transform } from 'node:stream';
import type { TLSSocket } from 'node:tls';
import { RESPONSE_ALREADY_SENT } from '@hono/node-server/utils/response';
import { type Dispatcher, Pool } from 'undici';
import type { Call } from '../call.ts';
import { type Result, succeed } from '../failure.ts';
import type { Log } from '../telemetry/log.ts';
import { type HeaderLines, toClientHeaders } from './headers.ts';
import {
  CLIENT_CLOSED_REQUEST,
  FIRST_BYTE_TIMEOUT_MS,
  isPassable,
  isRepeatable,
  type OriginOptions,
  toOriginRequest,
  toUnavailable,
} from './origin.ts';

export interface UndiciOriginOptions extends OriginOptions {
  readonly log: Log;
}

/** One request and its answer as `node:http` has them. */
export interface Exchange {
  readonly incoming: IncomingMessage;
  readonly outgoing: ServerResponse;
}

export interface UndiciOrigin {
  /**
   * Writes the origin's answer to `exchange.outgoing` itself. Resolves when its head is written, with a Response that
   * only tells its status and must be handed to @hono/node-server as it is. Fails with `proxy-loop` or `unavailable`;
   * then nothing has been written.
   */
  forward(call: Call, exchange: Exchange): Promise<Result<Response>>;
  /** Ends every connection at once. For when nothing is in flight any more. */
  close(): Promise<void>;
}

/** No cap on connections: the origin always carried every client, and a cap would let a few event streams starve the rest. */
export function createUndiciOrigin(options: UndiciOriginOptions): UndiciOrigin {
  const pool = new Pool(options.originUrl, { headersTimeout: 0, bodyTimeout: 0 });
  return {
    forward: (call, exchange) => forward(pool, call, exchange, options),
    close: () => pool.destroy(),
  };
}

async function forward(
  pool: Pool,
  call: Call,
  { incoming, outgoing }: Exchange,
  options: UndiciOriginOptions,
): Promise<Result<Response>> {
  const { firstByteTimeoutMs = FIRST_BYTE_TIMEOUT_MS, log } = options;
  const asked = toOriginRequest(call, incoming.rawHeaders, toHop(incoming), options);
  if (!asked.ok) return asked;
  const { target, headers } = asked.value;

  const cancel = new AbortController();
  let isLate = false;
  const patience = setTimeout(() => {
    isLate = true;
    cancel.abort();
  }, firstByteTimeoutMs);
  // The client has hung up; or all is done, and there is nothing left to cancel.
  outgoing.once('close', () => cancel.abort());
  if (outgoing.destroyed) cancel.abort();

  const body = openBody(call, incoming, () => patience.refresh());
  const length = incoming.headers['content-length'];
  if (length !== undefined) headers.push('Content-Length', length);
  const method = incoming.method as Dispatcher.HttpMethod;
  const ask = () =>
    pool.request({ method, path: target, headers, body, signal: cancel.signal, responseHeaders: 'raw' });
  let answer: Dispatcher.ResponseData;
  try {
    answer = await ask().catch((error) => {
      if (!isRepeatable(method, body !== null) || !isLostConnection(error)) throw error;
      return ask();
    });
  } catch (error) {
    if (isLate) return toUnavailable(`no answer began within ${firstByteTimeoutMs} ms`);
    if (cancel.signal.aborted) return succeed(toReceipt(CLIENT_CLOSED_REQUEST));
    return toUnavailable(toReason(error));
  } finally {
    clearTimeout(patience);
  }
  const { statusCode, statusText, body: content } = answer;
  // An event before the first listener would be a crash: `destroy` reports what it was told, and what it broke off.
  content.on('error', (error) => {
    if (outgoing.destroyed || outgoing.writableEnded) return;
    log.warn('the origin broke off an answer', { request_id: call.requestId, reason: toReason(error) });
    // A clean end would make a truncated body look whole where nothing but the end of the connection ends it.
    incoming.socket.resetAndDestroy();
  });
  if (!isPassable(statusCode)) {
    content.destroy();
    return toUnavailable(`the origin answered with status ${statusCode}`);
  }
  // `responseHeaders: 'raw'` makes this a list of lines, whatever its type says.
  const lines = toClientHeaders(answer.headers as unknown as HeaderLines);
  outgoing.writeHead(statusCode, toReasonPhrase(statusText), lines);
  send(content, outgoing, method === 'HEAD' || statusCode === 204 || statusCode === 304);
  return succeed(toReceipt(statusCode));
}

const NO_BYTES = Buffer.alloc(0);

function send(content: Readable, outgoing: ServerResponse, isBodiless: boolean): void {
  if (isBodiless) {
    // Not piped: undici takes the Content-Length of a 304 for a promise, and would end it with an error.
    outgoing.end();
    content.resume();
    return;
  }
  // An event stream begins with its head, and may have nothing else to say for a long time. Not `flushHeaders`: that
  // writes the head as UTF-8, two bytes for each one above 0x7f.
  outgoing.write(NO_BYTES);
  content.pipe(outgoing);
}

function toHop({ socket }: IncomingMessage): { peer: string | undefined; scheme: 'http' | 'https' } {
  return {
    peer: socket.remoteAddress?.replace(/^::ffff:(?=\d+\.)/i, ''),
    scheme: (socket as Partial<TLSSocket>).encrypted ? 'https' : 'http',
  };
}

/**
 * What `app.ts` has read already, or the rest of the request as it comes; `null` where there is none. `onProgress` is
 * called for each chunk that the origin's connection takes.
 */
function openBody(call: Call, incoming: IncomingMessage, onProgress: () => void): Transform | Uint8Array | null {
  if (call.body !== undefined) return call.body.byteLength > 0 ? call.body : null;
  const { 'content-length': length = '0', 'transfer-encoding': coding } = incoming.headers;
  if (coding === undefined && Number(length) === 0) return null;
  // Never `incoming` itself: undici destroys a body it has no more use for, and with it would go the client's connection.
  const body = new Transform({
    transform(chunk, _encoding, done) {
      onProgress();
      done(null, chunk);
    },
  });
  return incoming.pipe(body);
}

/** Resets and closed connections; not a connection that was never made, nor an answer that makes no sense. */
function isLostConnection(error: unknown): boolean {
  const code = (error as NodeJS.ErrnoException).code ?? '';
  return ['UND_ERR_SOCKET', 'ECONNRESET', 'EPIPE'].includes(code);
}

function toReason(error: unknown): string {
  const { code, message } = error as NodeJS.ErrnoException;
  return code === undefined ? message : `${code}: ${message}`;
}

/** As the origin said it, where `writeHead` would take it; else the usual one. */
function toReasonPhrase(text: string): string | undefined {
  return /^[\x20-\x7e]+$/.test(text) ? text : undefined;
}

/** Tells @hono/node-server that the answer is under way, and the log what it was. */
function toReceipt(status: number): Response {
  const receipt = new Response(null, { status, headers: RESPONSE_ALREADY_SENT.headers });
  // Until something of it is read, its lightweight Response takes a short cut that writes a second head.
  void receipt.body;
  return receipt;
}
