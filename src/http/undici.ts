/**
 * The Transport of Node: one undici pool per origin, with a cap on its connections. `dispatch` with the small handler
 * below is the cheapest way undici has; global `fetch` costs some 150 us a call more. On Workers: `fetch.ts`.
 */
import { type Dispatcher, Pool } from 'undici';
import { type Body, decodeBody } from './decode.ts';
import { type HttpAnswer, type HttpRequest, type Transport, TransportError } from './transport.ts';

export interface UndiciTransport {
  readonly send: Transport;
  /** Ends every connection at once. For when nothing is in flight any more. */
  close(): Promise<void>;
}

/** A handshake that takes longer is not coming; what is left of the deadline is better spent on another try. */
const CONNECT_TIMEOUT_MS = 3_000;

/** `connections`: most of them per origin. Origins are the few that the configuration names, so pools are kept. */
export function createUndiciTransport({ connections }: { readonly connections: number }): UndiciTransport {
  const pools = new Map<string, Pool>();
  // The deadline of each exchange stands in for undici's own timers.
  const options = { connections, connectTimeout: CONNECT_TIMEOUT_MS, headersTimeout: 0, bodyTimeout: 0 };
  const poolOf = (origin: string) => {
    const pool = pools.get(origin) ?? new Pool(origin, options);
    pools.set(origin, pool);
    return pool;
  };
  return {
    send(request) {
      const { origin, path } = splitUrl(request.url);
      const { method, headers, body = null } = request;
      return new Promise((resolve, reject) => {
        poolOf(origin).dispatch({ method, path, headers, body }, new Exchange(request, resolve, reject));
      });
    },
    async close() {
      await Promise.all([...pools.values()].map((pool) => pool.destroy()));
    },
  };
}

function splitUrl(url: string): { origin: string; path: string } {
  const pathAt = url.indexOf('/', url.indexOf('//') + 2);
  return pathAt === -1 ? { origin: url, path: '/' } : { origin: url.slice(0, pathAt), path: url.slice(pathAt) };
}

type Headers = Readonly<Record<string, string | string[] | undefined>>;

/** One request on its way. Settles once, whatever undici reports afterwards. */
class Exchange implements Dispatcher.DispatchHandler {
  readonly #maxBytes: number;
  readonly #resolve: (answer: HttpAnswer | Promise<HttpAnswer>) => void;
  readonly #reject: (error: TransportError) => void;
  readonly #timer: NodeJS.Timeout;
  readonly #chunks: Buffer[] = [];
  #size = 0;
  #status = 0;
  #headers: Headers = {};
  #controller: Dispatcher.DispatchController | undefined;
  #isSettled = false;

  constructor(
    request: HttpRequest,
    resolve: (answer: HttpAnswer | Promise<HttpAnswer>) => void,
    reject: (error: TransportError) => void,
  ) {
    this.#maxBytes = request.maxBytes;
    this.#resolve = resolve;
    this.#reject = reject;
    this.#timer = setTimeout(expire, request.timeoutMs, this);
  }

  /** The next thing undici does is write the request. */
  onRequestStart(controller: Dispatcher.DispatchController): void {
    // Its deadline passed while it waited for a connection. Throwing makes undici drop it unsent and keep the connection.
    if (this.#isSettled) throw new Error('abandoned before it was sent');
    this.#controller = controller;
  }

  onResponseStart(_controller: Dispatcher.DispatchController, status: number, headers: Headers): void {
    this.#status = status;
    this.#headers = headers;
    // RFC 9112, section 6.3: a 204 ends with its headers. It is complete, whatever else is announced or comes.
    if (status === 204) this.#complete(false);
  }

  onResponseData(controller: Dispatcher.DispatchController, chunk: Buffer): void {
    if (this.#isSettled) return;
    const room = this.#maxBytes - this.#size;
    this.#chunks.push(chunk.subarray(0, room));
    this.#size += chunk.length;
    if (chunk.length <= room) return;
    this.#complete(true);
    controller.abort(new Error('more than maxBytes'));
  }

  onResponseEnd(): void {
    this.#complete(false);
  }

  onResponseError(_controller: Dispatcher.DispatchController, cause: Error): void {
    this.#fail(this.#controller === undefined ? 'connect' : 'reset', cause);
  }

  expire(): void {
    this.#fail('timeout');
    this.#controller?.abort(new Error('deadline passed'));
  }

  #complete(isTruncated: boolean): void {
    if (this.#settle()) {
      this.#resolve(toAnswer(this.#status, this.#headers, { chunks: this.#chunks, isTruncated }, this.#maxBytes));
    }
  }

  #fail(code: TransportError['code'], cause?: Error): void {
    if (this.#settle()) this.#reject(new TransportError(code, { cause }));
  }

  /** Whether it is the first time. */
  #settle(): boolean {
    if (this.#isSettled) return false;
    this.#isSettled = true;
    clearTimeout(this.#timer);
    return true;
  }
}

function expire(exchange: Exchange): void {
  exchange.expire();
}

const utf8 = new TextDecoder();

function toAnswer(
  status: number,
  headers: Headers,
  { chunks, isTruncated }: { readonly chunks: Buffer[]; readonly isTruncated: boolean },
  maxBytes: number,
): HttpAnswer | Promise<HttpAnswer> {
  const header = (name: string) => {
    const value = headers[name.toLowerCase()];
    return typeof value === 'object' ? value.join(', ') : value;
  };
  if (chunks.length === 0) return { status, header, body: '', isTruncated };
  const finish = (body: Body) => ({
    status,
    header,
    body: utf8.decode(body.bytes),
    isTruncated: body.isTruncated,
  });
  const body = { bytes: Buffer.concat(chunks), isTruncated };
  const encoding = header('content-encoding');
  if (encoding === undefined) return finish(body);
  return decodeBody(body, encoding, maxBytes).then(finish, (cause) => {
    throw new TransportError('reset', { cause });
  });
}
