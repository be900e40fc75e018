/** What every Transport promises, on both runtimes; and what only undici's can. */
import { createServer } from 'node:net';
import { gzipSync } from 'node:zlib';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { HttpRequest, TransportError } from '../../src/http/transport.ts';
import { type ScriptedBackend, type Step, startScriptedBackend, toWire } from '../support/scripted-backend.ts';
import { type OpenTransport, openUndiciTransport, openWorkerTransport } from '../support/transports.ts';

let backend: ScriptedBackend;
beforeAll(async () => {
  backend = await startScriptedBackend();
});
afterAll(() => backend.close());

const USUAL = { method: 'DELETE', headers: {}, timeoutMs: 5_000, maxBytes: 1_000 } as const;

function toRequest(request: Partial<HttpRequest> = {}): HttpRequest {
  return { ...USUAL, url: `${backend.url}/organization/members/u`, ...request };
}

function codeOf(exchange: Promise<unknown>): Promise<TransportError['code'] | 'an answer'> {
  return exchange.then(
    () => 'an answer',
    (error) => error.code,
  );
}

describe.each([
  { name: 'undici, on Node', open: () => openUndiciTransport(), refused: 'connect' },
  { name: 'fetch, in workerd', open: openWorkerTransport, refused: 'reset' },
])('the transport over $name', ({ open, refused }) => {
  let transport: OpenTransport;
  beforeAll(async () => {
    transport = await open();
  });
  afterAll(() => transport.close());
  const send = (request?: Partial<HttpRequest>) => transport.send(toRequest(request));

  it('sends method, path, headers and body as they are', async () => {
    backend.play({ token: [{ body: 'ok' }] });
    const url = backend.tokenUrl;
    const answer = await send({ method: 'POST', url, headers: { 'X-Probe': 'a b', Accept: 'text/x' }, body: 'ä=1' });
    expect(answer).toMatchObject({ status: 200, body: 'ok', isTruncated: false });
    expect(backend.calls).toMatchObject([
      { method: 'POST', target: '/oauth/token', headers: { 'x-probe': 'a b', accept: 'text/x' }, body: 'ä=1' },
    ]);
  });

  it('reads headers in any case, and joins several lines of one', async () => {
    const raw = 'HTTP/1.1 200 OK\r\nX-Request-Id: abc\r\nX-Several: 1\r\nx-several: 2\r\nContent-Length: 0\r\n\r\n';
    backend.play({ remove: [{ raw }] });
    const answer = await send();
    expect(answer.header('X-REQUEST-ID')).toBe('abc');
    expect(answer.header('x-several')).toBe('1, 2');
    expect(answer.header('location')).toBeUndefined();
  });

  it('follows no redirect', async () => {
    backend.play({ remove: [{ status: 307, headers: { location: '/v1/organization/members/other' } }] });
    const answer = await send();
    expect(answer.status).toBe(307);
    expect(answer.header('location')).toBe('/v1/organization/members/other');
    backend.verify();
  });

  it('resolves with any status', async () => {
    for (const status of [200, 202, 205, 304, 400, 401, 404, 429, 500, 502, 503, 504, 599]) {
      backend.play({ remove: [{ status }] });
      expect((await send()).status).toBe(status);
    }
  });

  it('keeps no body of a 204, and waits for none, whatever its headers announce', async () => {
    for (const rest of [
      '\r\n',
      'Content-Length: 2\r\n\r\n{}',
      'Content-Length: 2\r\n\r\n',
      'Content-Length: 0\r\n\r\n',
    ]) {
      backend.play({
        remove: [{ raw: `HTTP/1.1 204 No Content\r\n${rest}` }, { status: 200, body: 'next', times: 'any' }],
      });
      expect(await send(), JSON.stringify(rest)).toMatchObject({ status: 204, body: '', isTruncated: false });
      // workerd keeps such a connection, and loses the next answer on it: lost, but never taken for another.
      const next = await send().catch((error) => error.code);
      if (next !== 'reset' || refused === 'connect') expect(next).toMatchObject({ status: 200, body: 'next' });
    }
  });

  it('decodes UTF-8 over the bounds of chunks', async () => {
    const [head, tail] = [Buffer.from('Ω').subarray(0, 1), Buffer.from('Ω').subarray(1)];
    const raw = Buffer.concat([
      Buffer.from('HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n'),
      head,
      Buffer.from('\r\n1\r\n'),
      tail,
      Buffer.from('\r\n0\r\n\r\n'),
    ]).toString('latin1');
    backend.play({ remove: [{ raw, encoding: 'latin1' }] });
    expect((await send()).body).toBe('Ω');
  });

  it('reads maxBytes and no more', async () => {
    backend.play({ remove: [{ body: 'x'.repeat(1_000) }, { body: 'x'.repeat(1_001) }, { body: 'y'.repeat(4e6) }] });
    expect(await send()).toMatchObject({ body: 'x'.repeat(1_000), isTruncated: false });
    expect(await send()).toMatchObject({ body: 'x'.repeat(1_000), isTruncated: true });
    expect(await send()).toMatchObject({ body: 'y'.repeat(1_000), isTruncated: true });
  });

  it('decodes gzip that nobody asked for', async () => {
    const body = gzipSync('{"a":"Ω"}').toString('latin1');
    backend.play({ remove: [{ body, encoding: 'latin1', headers: { 'content-encoding': 'gzip' } }] });
    expect(await send()).toMatchObject({ status: 200, body: '{"a":"Ω"}', isTruncated: false });
  });

  it('lets a decompression bomb fill maxBytes and no more', async () => {
    const body = gzipSync(Buffer.alloc(50_000_000, 'x')).toString('latin1');
    backend.play({ remove: [{ body, encoding: 'latin1', headers: { 'content-encoding': 'gzip' } }] });
    expect(await send({ maxBytes: 65_536 })).toMatchObject({ body: 'x'.repeat(65_536), isTruncated: true });
  });

  it('takes a body it cannot decode for a lost answer', async () => {
    const body = gzipSync('{"a":1}').subarray(0, 12).toString('latin1');
    backend.play({ remove: [{ body, encoding: 'latin1', headers: { 'content-encoding': 'gzip' } }] });
    expect(await codeOf(send())).toBe('reset');
  });

  it('gives up at the deadline, wherever the answer stands', async () => {
    const answer = { status: 200, body: 'x'.repeat(100) };
    for (const afterBytes of [0, 10, toWire(answer).length - 50]) {
      backend.play({ remove: [{ ...answer, fault: 'stall', afterBytes }] });
      const began = performance.now();
      expect(await codeOf(send({ timeoutMs: 100 }))).toBe('timeout');
      expect(performance.now() - began).toBeLessThan(1_000);
    }
  });

  it('reports an answer that was cut as a reset, wherever it was cut', async () => {
    const answer = { status: 200, headers: { 'x-request-id': 'r' }, body: '{"a":1}' };
    const length = toWire(answer).length;
    for (const fault of ['cut', 'reset'] as const) {
      for (const afterBytes of [0, 1, 9, 30, length - 8, length - 7, length - 1]) {
        backend.play({ remove: [{ ...answer, fault, afterBytes }] });
        expect(await codeOf(send()), `${fault} after ${afterBytes} of ${length}`).toBe('reset');
      }
    }
  });

  it('reports what is not HTTP as a reset', async () => {
    backend.play({ remove: [{ raw: 'SSH-2.0-OpenSSH_9.2\r\n\r\n' }] });
    expect(await codeOf(send({ timeoutMs: 2_000 }))).toBe('reset');
  });

  it('reports a refused connection as one that was never made, where the runtime tells', async () => {
    const gone = await startScriptedBackend();
    await gone.close();
    expect(await codeOf(send({ url: `${gone.url}/x` }))).toBe(refused);
  });

  it('goes on after every kind of end', async () => {
    backend.play({
      remove: [{ fault: 'reset' }, { fault: 'cut', afterBytes: 5 }, { body: 'x'.repeat(5_000) }, { body: 'fine' }],
    });
    expect([await codeOf(send()), await codeOf(send()), await codeOf(send())]).toEqual(['reset', 'reset', 'an answer']);
    expect((await send()).body).toBe('fine');
  });
});

describe('the transport over undici', () => {
  it('passes over interim answers', async () => {
    const transport = await openUndiciTransport();
    const raw = 'HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok';
    backend.play({ remove: [{ raw }] });
    expect(await transport.send(toRequest())).toMatchObject({ status: 200, body: 'ok' });
    await transport.close();
  });

  it('uses its connections again and again', async () => {
    const transport = await openUndiciTransport();
    backend.play({
      remove: [
        { status: 204, times: 10 },
        { status: 404, body: { message: 'm' }, times: 10 },
      ],
    });
    for (let call = 0; call < 20; call += 1) await transport.send(toRequest());
    // A connection rests for one turn of the event loop, and so one call after the other takes turns on two.
    expect(backend.connectionsOpened).toBeLessThanOrEqual(2);
    await transport.close();
  });

  it.each<[string, Step]>([
    ['an answer that is longer than was wanted', { body: 'x'.repeat(5_000), fault: 'stall', afterBytes: 3_000 }],
    ['an answer that did not come in time', { fault: 'stall' }],
    ['an answer that came in part', { body: 'x'.repeat(500), fault: 'stall', afterBytes: 300 }],
    ['a 204 that announces a body', { raw: 'HTTP/1.1 204 No Content\r\nContent-Length: 2\r\n\r\n' }],
    ['a 204 with a body', { raw: 'HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n' }],
  ])('does not wait on a connection for the rest of %s', async (_, step) => {
    const transport = await openUndiciTransport(1);
    backend.play({ remove: [step, { status: 200, body: 'next' }] });
    await transport.send(toRequest({ timeoutMs: 200 })).catch(() => undefined);
    expect(await transport.send(toRequest())).toMatchObject({ status: 200, body: 'next' });
    expect(backend.connectionsOpened).toBe(2);
    await transport.close();
  });

  it('opens no more connections than it may, and serves everybody', async () => {
    const transport = await openUndiciTransport(4);
    backend.play({ remove: [{ status: 204, delayMs: 5, times: 100 }] });
    const answers = await Promise.all(Array.from({ length: 100 }, () => transport.send(toRequest())));
    expect(answers.map(({ status }) => status)).toEqual(Array(100).fill(204));
    expect(backend.connectionsOpened).toBe(4);
    expect(backend.mostConcurrent).toBe(4);
    await transport.close();
  });

  it('never sends a request whose deadline passed while it waited for a connection', async () => {
    const transport = await openUndiciTransport(1);
    backend.play({
      remove: [
        { status: 204, delayMs: 200 },
        { status: 200, body: 'third' },
      ],
    });
    const first = transport.send(toRequest());
    const second = transport.send(toRequest({ timeoutMs: 50 }));
    expect(await codeOf(second)).toBe('timeout');
    expect((await first).status).toBe(204);
    expect((await transport.send(toRequest())).body).toBe('third');
    backend.verify();
    expect(backend.connectionsOpened).toBe(1);
    await transport.close();
  });

  it('reports a handshake that fails as a connection that was never made', async () => {
    const transport = await openUndiciTransport();
    const plain = createServer((socket) => socket.on('error', () => undefined).end('not TLS'));
    await new Promise<void>((resolve) => plain.listen(0, '127.0.0.1', resolve));
    const { port } = plain.address() as { port: number };
    expect(await codeOf(transport.send(toRequest({ url: `https://127.0.0.1:${port}/x` })))).toBe('connect');
    plain.close();
    await transport.close();
  });

  it('takes a base URL without a path', async () => {
    const transport = await openUndiciTransport();
    backend.play({ other: [{ body: 'root' }] });
    const answer = await transport.send(toRequest({ method: 'GET', url: new URL(backend.url).origin }));
    expect(answer.body).toBe('root');
    await transport.close();
  });
});
