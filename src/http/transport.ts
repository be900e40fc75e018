/**
 * One HTTP exchange with bounded time and size, as the edges that need it ask for it (backend, credentials, key sets).
 * The two implementations are `undici.ts` (Node) and `fetch.ts` (Workers); neither follows redirects.
 */
export interface HttpRequest {
  readonly method: 'GET' | 'POST' | 'DELETE';
  readonly url: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body?: string;
  /** Milliseconds for everything, connection and body included. */
  readonly timeoutMs: number;
  /** Most bytes of the decoded body that are read. */
  readonly maxBytes: number;
}

export interface HttpAnswer {
  readonly status: number;
  /** Case-insensitive; several field lines are joined with ", ". */
  header(name: string): string | undefined;
  /** The decoded body as UTF-8 text: the first `maxBytes` of it where `isTruncated`. */
  readonly body: string;
  readonly isTruncated: boolean;
}

/** Resolves with any status. Rejects only with a `TransportError`. */
export type Transport = (request: HttpRequest) => Promise<HttpAnswer>;

/**
 * No complete answer came. `timeout`: the deadline passed. `connect`: no connection was made, so the request was not
 * sent. `reset`: the connection ended after the request was, or may have been, sent.
 */
export class TransportError extends Error {
  override readonly name = 'TransportError';
  readonly code: 'timeout' | 'connect' | 'reset';

  constructor(code: TransportError['code'], options?: ErrorOptions) {
    super(`no answer: ${code}`, options);
    this.code = code;
  }
}
