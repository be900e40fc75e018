/**
 * An old server that reads every byte it gets by the letter of RFC 9112 and remembers it: what Holdover sends on is either
 * one well-framed message after the other, or a violation that stands here.
 */
import { once } from 'node:events';
import { type AddressInfo, createServer, type Socket } from 'node:net';

export interface OriginRequest {
  readonly method: string;
  readonly target: string;
  /** As on the wire; names in lower case. */
  readonly lines: readonly (readonly [name: string, value: string])[];
  /** Latin-1, without its framing. */
  readonly body: string;
}

export interface StrictOrigin {
  readonly url: string;
  readonly requests: readonly OriginRequest[];
  /** What a strict reader objects to, one line each. */
  readonly violations: readonly string[];
  forget(): void;
  close(): Promise<void>;
}

export async function startStrictOrigin(): Promise<StrictOrigin> {
  const requests: OriginRequest[] = [];
  const violations: string[] = [];
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    let bytes = '';
    sockets.add(socket);
    socket.on('error', () => undefined).on('close', () => sockets.delete(socket));
    socket.setEncoding('latin1').on('data', (chunk: string) => {
      bytes += chunk;
      for (;;) {
        const read = readMessage(bytes);
        if (read === 'incomplete') return;
        if (typeof read === 'string') {
          violations.push(`${read}: ${JSON.stringify(bytes)}`);
          socket.destroy();
          return;
        }
        requests.push(read.request);
        bytes = bytes.slice(read.length);
        socket.write(`HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n${read.request.method === 'HEAD' ? '' : 'ok'}`);
      }
    });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    requests,
    violations,
    forget: () => void requests.splice(0),
    async close() {
      for (const socket of sockets) socket.destroy();
      server.close();
      await once(server, 'close');
    },
  };
}

const REQUEST_LINE = /^([!#$%&'*+.^_`|~\w-]+) ([\x21-\x7e]+) HTTP\/1\.1$/;
const FIELD = /^([!#$%&'*+.^_`|~\w-]+):[ \t]*([\t\x20-\x7e\x80-\xff]*?)[ \t]*$/;

/** The first message of `bytes` and how many of them it takes, or what is wrong with it. */
function readMessage(bytes: string): { request: OriginRequest; length: number } | string {
  const headLength = bytes.indexOf('\r\n\r\n');
  if (headLength === -1) return /(?<!\r)\n|\r(?!\n|$)/.test(bytes) ? 'a bare CR or LF' : 'incomplete';
  const [requestLine = '', ...fields] = bytes.slice(0, headLength).split('\r\n');
  const [, method, target] = REQUEST_LINE.exec(requestLine) ?? [];
  if (method === undefined || target === undefined) return 'no request line';
  const lines: [string, string][] = [];
  for (const field of fields) {
    const [, name, value] = FIELD.exec(field) ?? [];
    if (name === undefined || value === undefined) return 'no header line';
    lines.push([name.toLowerCase(), value]);
  }
  const lengths = lines.filter(([name]) => name === 'content-length').map(([, value]) => value);
  const codings = lines.filter(([name]) => name === 'transfer-encoding').map(([, value]) => value);
  if (lengths.length + codings.length > 1) return 'framed more than once';
  if (lines.filter(([name]) => name === 'host').length !== 1) return 'not exactly one Host';
  const body = bytes.slice(headLength + 4);
  const framed = codings.length > 0 ? readChunks(body, codings[0] as string) : readLength(body, lengths[0]);
  if (typeof framed === 'string') return framed;
  return { request: { method, target, lines, body: framed.body }, length: headLength + 4 + framed.length };
}

type Framed = { readonly body: string; readonly length: number } | string;

function readLength(body: string, length = '0'): Framed {
  if (!/^\d+$/.test(length)) return 'no Content-Length';
  return body.length < Number(length) ? 'incomplete' : { body: body.slice(0, Number(length)), length: Number(length) };
}

function readChunks(body: string, coding: string): Framed {
  if (coding.toLowerCase() !== 'chunked') return 'another coding than chunked';
  let at = 0;
  let read = '';
  for (;;) {
    const end = body.indexOf('\r\n', at);
    if (end === -1) return 'incomplete';
    const size = body.slice(at, end);
    if (!/^[\da-f]{1,8}$/i.test(size)) return 'no chunk size, or an extension';
    const chunkEnd = end + 2 + Number.parseInt(size, 16);
    if (body.length < chunkEnd + 2) return 'incomplete';
    if (body.slice(chunkEnd, chunkEnd + 2) !== '\r\n') return 'a chunk without its end, or trailers';
    if (Number(`0x${size}`) === 0) return { body: read, length: chunkEnd + 2 };
    read += body.slice(end + 2, chunkEnd);
    at = chunkEnd + 2;
  }
}
