/** One HTTP request sent as it is written: target, header names and body untouched; the answer's bytes likewise. */
import { request as send } from 'node:http';

export interface RawAnswer {
  readonly status: number;
  /** Names in lower case. */
  readonly headers: ReadonlyMap<string, string>;
  readonly body: Buffer;
}

export interface RawRequest {
  readonly method: string;
  readonly target: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string;
  readonly chunked?: boolean;
}

export function rawRequest(
  url: string,
  { method, target, headers = {}, body, chunked = false }: RawRequest,
): Promise<RawAnswer> {
  const { hostname, port } = new URL(url);
  return new Promise((resolve, reject) => {
    const framing: Record<string, string> =
      body === undefined
        ? {}
        : chunked
          ? { 'Transfer-Encoding': 'chunked' }
          : { 'Content-Length': `${Buffer.byteLength(body)}` };
    const outgoing = send({ hostname, port, method, path: target, headers: { ...headers, ...framing }, agent: false });
    outgoing.on('error', reject);
    outgoing.on('response', (incoming) => {
      const chunks: Buffer[] = [];
      incoming.on('data', (chunk: Buffer) => chunks.push(chunk));
      incoming.on('error', reject);
      incoming.on('end', () => {
        const found = new Map(Object.entries(incoming.headers).map(([name, value]) => [name, String(value)]));
        resolve({ status: incoming.statusCode ?? 0, headers: found, body: Buffer.concat(chunks) });
      });
    });
    outgoing.end(body);
  });
}
