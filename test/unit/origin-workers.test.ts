/** The origin in workerd, over `fetch`. Rules that both runtimes share are tested in `origin-headers.test.ts`. */
import type { Socket } from 'node:net';
import { gzipSync } from 'node:zlib';
import { build } from 'esbuild';
import { Miniflare } from 'miniflare';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { exchange, openRawClient, openRawOrigin, type RawOrigin, until } from '../support/raw-origin.ts';

const PATIENCE_MS = 300;

/** A Worker that does nothing but pass on; the origin is named by the variable ORIGIN. */
const WORKER = `
  import { createFetchOrigin } from './src/origin/fetch.ts';
  const UUID = '0d2a54ab-6d2e-4b5c-8c0a-5b1e7f2c9d11';
  export default {
    async fetch(request, env) {
      const origin = createFetchOrigin({ originUrl: env.ORIGIN, trustedProxies: 0, firstByteTimeoutMs: ${PATIENCE_MS} }, fetch);
      const { origin: base } = new URL(request.url);
      const body = request.headers.has('x-read') ? new Uint8Array(await request.arrayBuffer()) : undefined;
      const call = { request, requestId: UUID, uuid: UUID, rawTarget: request.url.slice(base.length), body };
      const passed = await origin(call);
      return passed.ok ? passed.value : Response.json(passed.failure, { status: 503 });
    },
  };
`;

let code: string;
let origin: RawOrigin;
let worker: Miniflare;
let url: string;
let onHead: (socket: Socket, head: string) => unknown = () => undefined;

beforeAll(async () => {
  const built = await build({
    stdin: { contents: WORKER, resolveDir: process.cwd(), loader: 'js' },
    bundle: true,
    format: 'esm',
    write: false,
  });
  code = built.outputFiles[0]?.text ?? '';
  origin = await openRawOrigin((socket, head) => onHead(socket, head));
  worker = new Miniflare({
    modules: true,
    script: code,
    // Past Miniflare's own entry, which rewrites Accept-Encoding as Cloudflare's edge does.
    unsafeDirectSockets: [{ host: '127.0.0.1', port: 0 }],
    cf: false,
    host: '127.0.0.1',
    port: 0,
    compatibilityDate: '2026-04-20',
    compatibilityFlags: ['nodejs_compat'],
    bindings: { ORIGIN: origin.url },
  });
  await worker.ready;
  url = (await worker.unsafeGetDirectURL()).href;
});

afterEach(() => {
  origin.received.fill('');
});

afterAll(async () => {
  await worker.dispose();
  await origin.close();
});

/** What the origin got of the last request: each has a connection of its own here. */
const lastReceived = () => origin.received.at(-1) ?? '';

const answerOnce = (bytes: string) => {
  onHead = (socket) => socket.end(bytes, 'latin1');
};

const request = (method: string, target: string, lines = '') =>
  `${method} ${target} HTTP/1.1\r\nHost: api.test\r\n${lines}\r\n`;

/** The answer to a request, by its own framing: workerd keeps the connection open. */
async function ask(bytes: string, end: string): Promise<string> {
  const client = openRawClient(url, bytes);
  await client.sees(end);
  client.socket.destroy();
  return client.text();
}

const OK = 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok';

describe('in workerd, the request', () => {
  it('arrives with the path and query that the URL kept, from a client named by the edge', async () => {
    answerOnce(OK);
    const lines = 'CF-Connecting-IP: 203.0.113.9\r\nX-Forwarded-For: 198.51.100.1\r\nX_Forwarded_For: 198.51.100.1\r\n';
    await ask(
      request('GET', '/a%2Fb//c;d?q=a%20b+c&&r', `${lines}Connection: authorization\r\nAuthorization: bearer t\r\n`),
      'ok',
    );
    const received = lastReceived();
    expect(received).toMatch(/^GET \/a%2Fb\/\/c;d\?q=a%20b\+c&&r HTTP\/1\.1\r\n/);
    expect(received).toMatch(/\r\nx-forwarded-for: 203\.0\.113\.9\r\n/i);
    expect(received).toMatch(/\r\nx-forwarded-host: api\.test\r\n/i);
    expect(received).toMatch(/\r\nauthorization: bearer t\r\n/i);
    expect(received).toMatch(/\r\nvia: 1\.1 holdover\r\n/i);
    expect(received).toMatch(/\r\nx-vcap-request-id: 0d2a54ab-/i);
    expect(received).not.toMatch(/198\.51\.100\.1|\r\nconnection:|cf-connecting-ip/i);
  });

  it.each([
    ['POST', 'Content-Length: 5\r\n', 'hello', /\r\ncontent-length: 5\r\n/i],
    ['DELETE', 'Transfer-Encoding: chunked\r\n', '5\r\nhello\r\n0\r\n\r\n', /\r\ntransfer-encoding: chunked\r\n/i],
    ['GET', 'Content-Length: 5\r\n', 'hello', /\r\ncontent-length: 5\r\n/i],
    ['PUT', 'X-Read: 1\r\nTransfer-Encoding: chunked\r\n', '5\r\nhello\r\n0\r\n\r\n', /\r\ncontent-length: 5\r\n/i],
    // workerd lets both through; read by Transfer-Encoding, it must be sent on so.
    [
      'POST',
      'Content-Length: 3\r\nTransfer-Encoding: chunked\r\n',
      '5\r\nhello\r\n0\r\n\r\n',
      /\r\ntransfer-encoding: chunked\r\n/i,
    ],
  ])('%s with %j arrives with its body, framed once', async (method, lines, body, framing) => {
    onHead = async (socket) => {
      await until(() => lastReceived().includes('hello'));
      socket.end(OK);
    };
    await ask(request(method, '/x', lines) + body, 'ok');
    const received = lastReceived();
    expect(received.startsWith(`${method} /x HTTP/1.1\r\n`)).toBe(true);
    expect(received).toMatch(framing);
    expect(received.match(/\r\n(content-length|transfer-encoding):/gi)).toHaveLength(1);
  });

  it('that has passed here before goes no further', async () => {
    const text = await ask(request('GET', '/x', 'Via: 1.1 holdover\r\n'), '}');
    expect(text).toContain('"proxy-loop"');
    expect(lastReceived()).toBe('');
  });
});

describe('in workerd, the answer', () => {
  it('arrives with its lines, cookies apart, and without those of the connection', async () => {
    const lines = 'Set-Cookie: a=1\r\nSet-Cookie: b=2\r\nX-Hop: 1\r\nX-A: x-hop\r\n';
    answerOnce(
      `HTTP/1.1 418 Teapot\r\nConnection: close, x-hop\r\nKeep-Alive: timeout=9\r\n${lines}Content-Length: 2\r\n\r\nok`,
    );
    const text = await ask(request('GET', '/x'), 'ok');
    expect(text).toMatch(/^HTTP\/1\.1 418 Teapot\r\n/);
    expect(text.match(/set-cookie: .*/gi)).toEqual(['Set-Cookie: a=1', 'Set-Cookie: b=2']);
    expect(text).toMatch(/\r\nx-a: x-hop\r\n/i);
    expect(text).not.toMatch(/\r\nx-hop:|\r\nkeep-alive:|\r\nvia:/i);
  });

  it.each(['gzip', 'zstd', 'GZIP, br'])('compressed with %s keeps its bytes and its length', async (coding) => {
    const packed = gzipSync('{"a":1}'.repeat(100)).toString('latin1');
    answerOnce(`HTTP/1.1 200 OK\r\nContent-Encoding: ${coding}\r\nContent-Length: ${packed.length}\r\n\r\n${packed}`);
    const text = await ask(request('GET', '/x', 'Accept-Encoding: gzip\r\n'), packed);
    expect(text).toMatch(new RegExp(`\\r\\ncontent-encoding: ${coding}\\r\\n`, 'i'));
    expect(text).toMatch(new RegExp(`\\r\\ncontent-length: ${packed.length}\\r\\n`, 'i'));
    expect(lastReceived()).toMatch(/\r\naccept-encoding: gzip\r\n/i);
  });

  it.each([
    ['GET', '302 Found', 'Location: /y\r\nContent-Length: 0'],
    ['HEAD', '200 OK', 'Content-Length: 1304'],
    ['GET', '204 No Content', 'X-A: 1'],
    ['GET', '304 Not Modified', 'ETag: "x"'],
  ])('to %s with %s is passed on as it is', async (method, status, lines) => {
    answerOnce(`HTTP/1.1 ${status}\r\n${lines}\r\nConnection: close\r\n\r\n`);
    const text = await ask(request(method, '/x'), '\r\n\r\n');
    expect(text.startsWith(`HTTP/1.1 ${status}\r\n`)).toBe(true);
    for (const line of lines.split('\r\n')) expect(text).toContain(`${line}\r\n`);
    expect(text.endsWith('\r\n\r\n')).toBe(true);
  });

  it('that is a stream of events arrives event by event, and has no deadline', async () => {
    const sockets: Socket[] = [];
    onHead = (socket) => {
      sockets.push(socket);
      socket.write(
        'HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n9\r\ndata: 1\n\n\r\n',
      );
    };
    const client = openRawClient(url, request('GET', '/events'));
    await client.sees('data: 1');
    await new Promise((resolve) => setTimeout(resolve, PATIENCE_MS * 2));
    sockets[0]?.write('9\r\ndata: 2\n\n\r\n');
    await client.sees('data: 2');
    client.socket.destroy();
  });

  it('of a known length that breaks off ends the connection', async () => {
    answerOnce('HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\npart');
    expect(await exchange(url, request('GET', '/x'))).toMatch(/part$/);
  });
});

describe('in workerd, an origin that gives no answer', () => {
  it.each([
    ['closes the connection', (socket: Socket) => socket.end()],
    ['speaks no HTTP', (socket: Socket) => socket.end('SSH-2.0-OpenSSH_9.2\r\n')],
    [
      'answers with a status that HTTP does not know',
      (socket: Socket) => socket.end('HTTP/1.1 999 Odd\r\nContent-Length: 0\r\n\r\n'),
    ],
    ['is silent', () => undefined],
  ])('is unavailable when it %s', async (_, behave) => {
    onHead = behave;
    const text = await ask(`${request('POST', '/x', 'Content-Length: 2\r\n')}ok`, '}');
    expect(text).toMatch(/^HTTP\/1\.1 503 /);
    expect(text).toContain('"dependency":"origin"');
    expect(origin.received.join('').match(/POST \/x/g)).toHaveLength(1);
  });

  it('is asked once more for a GET, and never for anything else', async () => {
    onHead = (socket) => socket.resetAndDestroy();
    await ask(request('GET', '/x'), '}');
    expect(origin.received.join('').match(/GET \/x/g)).toHaveLength(2);
    await ask(request('DELETE', '/y'), '}');
    expect(origin.received.join('').match(/DELETE \/y/g)).toHaveLength(1);
  });

  it('may take its time while a body is on its way', async () => {
    onHead = async (socket) => {
      await until(() => lastReceived().includes('!'));
      socket.end(OK);
    };
    const client = openRawClient(url, request('PUT', '/x', 'Content-Length: 6\r\n'));
    for (const byte of 'hello!') {
      client.socket.write(byte);
      await new Promise((resolve) => setTimeout(resolve, PATIENCE_MS / 3));
    }
    await client.sees('ok');
    client.socket.destroy();
  });
});
