/**
 * A Node HTTP listener with bounded patience: time-outs for slow clients, an answer in the legacy shape to what is no
 * HTTP at all, and a drain that answers everything in flight. What it serves is handed in.
 */
import { once } from 'node:events';
import { createServer, type IncomingMessage, type Server, type ServerResponse, STATUS_CODES } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Duplex } from 'node:stream';
import { getRequestListener, type Http2Bindings, type HttpBindings, RequestError } from '@hono/node-server';
import type { Failure } from '../failure.ts';

export interface ListenerOptions {
  readonly host: string;
  /** 0: any free port. */
  readonly port: number;
  readonly fetch: (request: Request, env: HttpBindings) => Response | Promise<Response>;
  /** The answer where `fetch` never saw the request, or broke. */
  readonly toAnswer: (failure: Failure) => PlainAnswer;
}

export interface PlainAnswer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
}

export interface Listener {
  readonly url: string;
  /** Accepts no more connections, answers what is in flight, then resolves; after `timeoutMs` it cuts what is left. */
  drain(timeoutMs: number): Promise<'drained' | 'cut'>;
}

/** Room for a token of 16 KiB beside the other headers; Node's own limit is 16 KiB in all. */
const MAX_HEADER_BYTES = 32 * 1024;
/** A client that dribbles its headers holds a connection no longer than this. */
const HEADERS_TIMEOUT_MS = 15_000;
/** How often that is looked at. Node's own 30 s would make the 15 s up to 45. */
const TIMEOUT_CHECK_MS = 1_000;
/** Longer than the usual 60 s of a load balancer in front, so that it never reuses a connection that is being closed. */
const KEEP_ALIVE_TIMEOUT_MS = 65_000;
/** How often a drain looks for connections that have become idle. */
const DRAIN_POLL_MS = 50;

/** Rejects as `listen` does: address in use, no permission. */
export async function openListener(options: ListenerOptions): Promise<Listener> {
  const serveFetch = (request: Request, env: HttpBindings | Http2Bindings) => {
    // Not every Host that @hono/node-server lets pass makes a URL, and its Request breaks when its body is first read.
    if (!URL.canParse(request.url)) throw new RequestError('Invalid URL');
    return options.fetch(request, env as HttpBindings);
  };
  const listenerOptions = {
    errorHandler(error: unknown) {
      // A RequestError: the target or the Host header makes no URL, so `fetch` never saw the request.
      const isRequestError = error instanceof RequestError;
      const reason = String(error);
      const { status, headers, body } = options.toAnswer({
        kind: isRequestError ? 'request-invalid' : 'unexpected',
        reason,
      });
      return new Response(body, { status, headers });
    },
  };
  const handle = getRequestListener(serveFetch, listenerOptions);
  // `handle` reads what is left of a body and throws it away, with a timer at the end of each request.
  const handleBodiless = getRequestListener(serveFetch, { ...listenerOptions, autoCleanupIncoming: false });
  const server = createServer({
    maxHeaderSize: MAX_HEADER_BYTES,
    headersTimeout: HEADERS_TIMEOUT_MS,
    connectionsCheckingInterval: TIMEOUT_CHECK_MS,
    keepAliveTimeout: KEEP_ALIVE_TIMEOUT_MS,
    // A missing Host is told in our own shape, by `errorHandler`.
    requireHostHeader: false,
    // Bodies on adapted routes have a deadline of their own (body.ts); one on its way to the origin may take its time.
    requestTimeout: 0,
  });
  // Beyond a maximum Node drops lines in silence: a client could so hide the X-Forwarded-For that a proxy wrote behind its
  // own. Their bytes are bounded already.
  server.maxHeadersCount = 0;
  /** The last request of each connection, answered or not. */
  const latest = new Map<Duplex, ServerResponse>();
  let isDraining = false;
  const serve = (incoming: IncomingMessage, outgoing: ServerResponse) => {
    const { socket } = incoming;
    // Once a connection, not once a request.
    if (!latest.has(socket)) socket.once('close', () => latest.delete(socket));
    latest.set(socket, outgoing);
    if (isDraining) outgoing.shouldKeepAlive = false;
    void (mayHaveBody(incoming) ? handle : handleBodiless)(incoming, outgoing);
  };
  /** What came is no message. Its answer must neither be taken for another request's, nor come on top of its own. */
  const refuse = (socket: Duplex, reason: string) => {
    const outgoing = latest.get(socket);
    const isBody = outgoing?.req.complete === false;
    if (outgoing && !isBody && !outgoing.writableFinished) outgoing.once('finish', () => socket.destroy());
    // A body that is broken or was given up: whoever reads it learns of that only from the end of the connection.
    else if (!socket.writable || (isBody && (outgoing.headersSent || outgoing.socket === null))) socket.destroy();
    else {
      const wire = toWire(options.toAnswer({ kind: 'request-invalid', reason }));
      socket.end(wire, () => isBody && socket.destroy());
    }
  };
  server.on('request', serve);
  // Node itself would answer 417, in no shape of ours; the old server passed over what it did not know (nginx does).
  server.on('checkExpectation', serve);
  // Node itself would hang up without a word. The socket is ours alone from here on.
  server.on('connect', (_incoming, socket) => {
    socket.on('error', () => undefined).once('finish', () => socket.destroy());
    refuse(socket, 'CONNECT');
  });
  server.on('clientError', (error: NodeJS.ErrnoException, socket) => {
    if (error.code === 'ECONNRESET') socket.destroy();
    else refuse(socket, error.code ?? 'unknown');
  });
  server.listen(options.port, options.host);
  await once(server, 'listening');
  return {
    url: toUrl(server),
    async drain(timeoutMs) {
      isDraining = true;
      for (const outgoing of latest.values()) outgoing.shouldKeepAlive = false;
      const closed = new Promise<'drained'>((resolve) => {
        server.close(() => resolve('drained'));
      });
      const poll = setInterval(() => server.closeIdleConnections(), DRAIN_POLL_MS);
      let timer: NodeJS.Timeout | undefined;
      const late = new Promise<'cut'>((resolve) => {
        timer = setTimeout(resolve, timeoutMs, 'cut');
      });
      const end = await Promise.race([closed, late]);
      clearInterval(poll);
      clearTimeout(timer);
      if (end === 'cut') server.closeAllConnections();
      return end;
    },
  };
}

/** RFC 9112, section 6.3: a request without either header has none. */
function mayHaveBody({ headers }: IncomingMessage): boolean {
  return headers['content-length'] !== undefined || headers['transfer-encoding'] !== undefined;
}

function toWire({ status, headers, body }: PlainAnswer): string {
  const lines = Object.entries({ ...headers, Connection: 'close' }).map(([name, value]) => `${name}: ${value}\r\n`);
  return `HTTP/1.1 ${status} ${STATUS_CODES[status] ?? ''}\r\n${lines.join('')}\r\n${body}`;
}

function toUrl(server: Server): string {
  const { address, family, port } = server.address() as AddressInfo;
  return `http://${family === 'IPv6' ? `[${address}]` : address}:${port}`;
}
