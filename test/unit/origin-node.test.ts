/** What a client and an old server see of each other through Holdover on Node, byte for byte. Faults: `test/fault/origin.test.ts`. */
import { createServer as createHttpServer } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import { gzipSync } from 'node:zlib';
import { afterEach, describe, expect, it } from 'vitest';
import { openPassthrough, type Passthrough, type PassthroughOptions, UUID } from '../support/passthrough.ts';
import { exchange, openRawClient, openRawOrigin, type RawOrigin, until } from '../support/raw-origin.ts';

const closing: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const close of closing.splice(0).reverse()) await close();
});

type OnHead = string | ((socket: Socket, head: string) => unknown);

async function open(
  onHead: OnHead,
  options: Omit<PassthroughOptions, 'originUrl'> = {},
): Promise<{ readonly origin: RawOrigin; readonly passthrough: Passthrough }> {
  const answer = typeof onHead === 'string' ? (socket: Socket) => socket.write(onHead, 'latin1') : onHead;
  const origin = await openRawOrigin(answer);
  closing.push(() => origin.close());
  const passthrough = await openPassthrough({ originUrl: origin.url, ...options });
  closing.push(() => passthrough.close());
  return { origin, passthrough };
}

const OK = 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok';

const get = (target: string, lines = '') =>
  `GET ${target} HTTP/1.1\r\nHost: api.test\r\nConnection: close\r\n${lines}\r\n`;

/** Status line and lines of an answer, without those that Node adds for its own connection. */
const headOf = (text: string) =>
  text
    .slice(0, text.indexOf('\r\n\r\n'))
    .split('\r\n')
    .filter((line) => !/^(Date|Connection|Keep-Alive):/.test(line));

const bodyOf = (text: string) => text.slice(text.indexOf('\r\n\r\n') + 4);

describe('the request', () => {
  it.each([
    '/v2/spaces/a/../b/./c',
    '/%2e%2E/a%2Fb/%7euser/%zz/%',
    '//x//y/',
    "/a;p=1/b,c'(d)*!@$&=+:~",
    '/x?q=name:a%20b+c&&r=[1]{2}|"<>^`&s=http://h/?#',
    '/?',
    '/a?b/../c',
  ])('arrives at %s byte for byte', async (target) => {
    const { origin, passthrough } = await open(OK);
    await exchange(passthrough.url, get(target));
    expect(origin.received[0]?.split('\r\n')[0]).toBe(`GET ${target.replace('#', '')} HTTP/1.1`);
  });

  it('never lets an absolute target or its fragment choose anything but the path', async () => {
    const { origin, passthrough } = await open(OK);
    await exchange(passthrough.url, get('http://evil.test/v2/info?a=b#/c'));
    expect(origin.received[0]).toMatch(/^GET \/v2\/info\?a=b HTTP\/1\.1\r\nhost: 127\.0\.0\.1:\d+\r\n/);
    expect(origin.received[0]).toContain('\r\nX-Forwarded-Host: api.test\r\n');
    expect(origin.received[0]).not.toContain('evil');
  });

  it('arrives with its lines in order, spelled and repeated as they were, and ours behind them', async () => {
    const { origin, passthrough } = await open(OK);
    const lines = [
      'b-Two: 2',
      'ACCEPT: */*',
      'X-A: 1',
      'accept: text/html',
      'X-a:  caf\xe9 ',
      'Cookie: a=1',
      'X-Empty:',
    ];
    await exchange(passthrough.url, get('/x', `${lines.join('\r\n')}\r\nUser-Agent: go-cli 6\r\n`));
    expect(origin.received[0]?.split('\r\n').slice(3)).toEqual([
      'b-Two: 2',
      'ACCEPT: */*',
      'X-A: 1',
      'accept: text/html',
      'X-a: caf\xe9',
      'Cookie: a=1',
      'X-Empty: ',
      'User-Agent: go-cli 6',
      'X-Forwarded-For: 127.0.0.1',
      'X-Forwarded-Proto: http',
      'X-Forwarded-Host: api.test',
      `X-Vcap-Request-Id: ${UUID}`,
      'Via: 1.1 holdover',
      '',
      '',
    ]);
  });

  it.each(['GET', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS', 'TRACE', 'PROPFIND', 'PURGE'])(
    'arrives as %s, with its body by length and in chunks',
    async (method) => {
      const { origin, passthrough } = await open(async (socket) => {
        await until(() => origin.received.at(-1)?.includes('hello') === true);
        socket.end('HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n');
      });
      const start = `${method} /x HTTP/1.1\r\nHost: api.test\r\nConnection: close\r\n`;
      await exchange(passthrough.url, `${start}Content-Length: 5\r\n\r\nhello`);
      await exchange(passthrough.url, `${start}Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n`);
      await until(() => origin.closed === 2);
      for (const received of origin.received) {
        expect(received.startsWith(`${method} /x HTTP/1.1\r\n`)).toBe(true);
        expect(received.match(/hello/g)).toHaveLength(1);
        // Never both: that is how one request is smuggled in another.
        expect(received.match(/\r\n(content-length|transfer-encoding):/gi)).toHaveLength(1);
      }
    },
  );

  it('without a body arrives without one', async () => {
    const { origin, passthrough } = await open(OK);
    for (const method of ['GET', 'DELETE', 'OPTIONS']) {
      await exchange(passthrough.url, `${method} /x HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n`);
    }
    expect(origin.received.join('')).not.toMatch(/content-length|transfer-encoding/i);
  });

  it('that claims two lengths reaches nobody', async () => {
    const { origin, passthrough } = await open(OK);
    const framings = ['Content-Length: 4\r\nTransfer-Encoding: chunked', 'Content-Length: 4\r\nContent-Length: 5'];
    for (const framing of framings) {
      const answer = await exchange(
        passthrough.url,
        `POST /x HTTP/1.1\r\nHost: h\r\n${framing}\r\n\r\n0\r\n\r\nGET /y`,
      );
      expect(answer).toMatch(/^HTTP\/1\.1 400 /);
    }
    expect(origin.received).toEqual([]);
  });

  it('keeps the Authorization that a client names in Connection', async () => {
    const { origin, passthrough } = await open(OK);
    const lines = 'Connection: close, authorization, x-forwarded-for\r\nAuthorization: bearer a.b.c\r\n';
    await exchange(passthrough.url, `GET /x HTTP/1.1\r\nHost: h\r\n${lines}\r\n`);
    expect(origin.received[0]).toContain('\r\nAuthorization: bearer a.b.c\r\n');
    expect(origin.received[0]).toContain('\r\nX-Forwarded-For: 127.0.0.1\r\n');
  });

  it("carries the client's own request id to the origin as it came, and no second one", async () => {
    const { origin, passthrough } = await open(OK);
    await exchange(passthrough.url, get('/x', 'x-vcap-request-id: a-b\r\n'));
    await exchange(passthrough.url, get('/x', 'X-Request-ID: c-d\r\n'));
    const ids = origin.received.join('').match(/x-(vcap-)?request-id: .*/gi);
    expect(ids).toEqual(['x-vcap-request-id: a-b', 'X-Request-ID: c-d']);
  });

  it('that expects 100-continue gets it, and arrives whole without the expectation', async () => {
    const { origin, passthrough } = await open(async (socket) => {
      await until(() => origin.received[0]?.endsWith('hello') === true);
      socket.write(OK);
    });
    const head = 'PUT /x HTTP/1.1\r\nHost: h\r\nConnection: close\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n';
    const client = openRawClient(passthrough.url, head);
    await client.sees('HTTP/1.1 100 Continue\r\n\r\n');
    client.socket.write('hello');
    await client.ended;
    expect(client.text()).toContain('HTTP/1.1 200 OK');
    expect(origin.received[0]).toMatch(/\r\n\r\nhello$/);
    expect(origin.received[0]).not.toMatch(/expect/i);
  });

  it('whose body was read already arrives with that body', async () => {
    const { origin, passthrough } = await open(OK, { readsBody: true });
    const start = 'DELETE /x HTTP/1.1\r\nHost: h\r\nConnection: close\r\n';
    await exchange(passthrough.url, `${start}Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n`);
    await exchange(passthrough.url, `${start}\r\n`);
    expect(origin.received[0]).toMatch(/\r\ncontent-length: 5\r\n\r\nhello$/i);
    expect(origin.received[1]).toMatch(/\r\nVia: 1\.1 holdover\r\n\r\n$/);
  });

  it('that has passed here before goes no further', async () => {
    const { origin, passthrough } = await open(OK);
    await exchange(passthrough.url, get('/x', 'Via: 1.1 edge, 1.1 holdover\r\n'));
    expect(passthrough.failures).toEqual([{ kind: 'proxy-loop' }]);
    expect(origin.received).toEqual([]);
  });
});

describe('the answer', () => {
  it('arrives with its status, reason and lines as they were, and no others', async () => {
    const lines = [
      'server: nginx',
      'X-A: 1',
      'Set-Cookie: a=1; path=/',
      'x-B: caf\xe9',
      'X-a: 2',
      'set-cookie: b=2',
      'X-Cf-Warnings: ',
    ];
    const { passthrough } = await open(
      `HTTP/1.1 418 Short and stout\r\n${lines.join('\r\n')}\r\nContent-Length: 2\r\n\r\n\xff\x00`,
    );
    const text = await exchange(passthrough.url, get('/x'));
    expect(headOf(text)).toEqual(['HTTP/1.1 418 Short and stout', ...lines, 'Content-Length: 2']);
    expect(bodyOf(text)).toBe('\xff\x00');
    expect(passthrough.statuses).toEqual([418]);
  });

  it("loses what concerned the origin's connection", async () => {
    const hop = 'Connection: close, X-Hop\r\nX-Hop: 1\r\nKeep-Alive: timeout=99\r\nProxy-Authenticate: Basic\r\n';
    const { passthrough } = await open((socket) => {
      socket.end(
        `HTTP/1.1 200 OK\r\n${hop}Transfer-Encoding: chunked\r\nTrailer: X-T\r\n\r\n2\r\nok\r\n0\r\nX-T: 1\r\n\r\n`,
      );
    });
    const text = await exchange(passthrough.url, get('/x'));
    expect(headOf(text)).toEqual(['HTTP/1.1 200 OK', 'Transfer-Encoding: chunked']);
    expect(bodyOf(text)).toBe('2\r\nok\r\n0\r\n\r\n');
    expect(text).not.toContain('timeout=99');
  });

  it('that redirects is passed on, not followed', async () => {
    const { origin, passthrough } = await open((socket) => {
      socket.write('HTTP/1.1 302 Found\r\nLocation: /elsewhere\r\nContent-Length: 0\r\n\r\n');
    });
    const text = await exchange(passthrough.url, get('/x'));
    expect(headOf(text)).toEqual(['HTTP/1.1 302 Found', 'Location: /elsewhere', 'Content-Length: 0']);
    expect(origin.received).toHaveLength(1);
  });

  it('that is compressed keeps its bytes, its coding and its length', async () => {
    const packed = gzipSync('{"a":1}'.repeat(100)).toString('latin1');
    const { passthrough } = await open(
      `HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: ${packed.length}\r\n\r\n${packed}`,
    );
    const text = await exchange(passthrough.url, get('/x'));
    expect(headOf(text)).toEqual(['HTTP/1.1 200 OK', 'Content-Encoding: gzip', `Content-Length: ${packed.length}`]);
    expect(bodyOf(text)).toBe(packed);
  });

  it.each([
    ['HEAD', '200 OK', 'Content-Length: 1304'],
    ['HEAD', '404 Not Found', 'X-A: 1'],
    ['GET', '204 No Content', 'X-A: 1'],
    ['GET', '304 Not Modified', 'Content-Length: 1304'],
    ['DELETE', '204 No Content', 'X-A: 1'],
  ])('to %s with %s has no body and keeps %s', async (method, status, line) => {
    const { passthrough } = await open(`HTTP/1.1 ${status}\r\n${line}\r\n\r\n`);
    const client = openRawClient(passthrough.url, `${method} /x HTTP/1.1\r\nHost: h\r\n\r\n`);
    await client.sees('\r\n\r\n');
    // The next answer begins where this one ended, on both connections.
    client.socket.write(`${method} /x HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n`);
    await client.ended;
    const [empty, ...answers] = client.text().split('HTTP/1.1 ');
    expect(empty).toBe('');
    expect(answers.map((text) => headOf(`HTTP/1.1 ${text}`))).toEqual(Array(2).fill([`HTTP/1.1 ${status}`, line]));
    expect(answers.map(bodyOf)).toEqual(['', '']);
    expect(passthrough.warnings).toEqual([]);
  });

  it('comes after informational ones that nobody is told of', async () => {
    const { passthrough } = await open(`HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n${OK}`);
    const text = await exchange(passthrough.url, get('/x'));
    expect(headOf(text)).toEqual(['HTTP/1.1 200 OK', 'Content-Length: 2']);
  });

  it('that is a stream of events arrives event by event, its head before the first', async () => {
    const sockets: Socket[] = [];
    const { passthrough } = await open((socket) => {
      sockets.push(socket);
      socket.write('HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n');
    });
    const client = openRawClient(passthrough.url, get('/events', 'Accept: text/event-stream\r\n'));
    await client.sees('\r\n\r\n');
    expect(bodyOf(client.text())).toBe('');
    for (const event of ['data: 1\n\n', 'data: 2\n\n']) {
      sockets[0]?.write(`9\r\n${event}\r\n`);
      await client.sees(event);
    }
    sockets[0]?.write('0\r\n\r\n');
    expect(await client.ended).toBe('end');
  });

  it('to HTTP/1.0 ends with the connection', async () => {
    const { passthrough } = await open('HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n');
    const client = openRawClient(passthrough.url, 'GET /x HTTP/1.0\r\nHost: h\r\n\r\n');
    expect(await client.ended).toBe('end');
    expect(bodyOf(client.text())).toBe('ok');
  });

  it('that comes before the upload has ended reaches the client', async () => {
    const { passthrough } = await open((socket) => {
      socket.end('HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\nConnection: close\r\n\r\nno');
    });
    const client = openRawClient(passthrough.url, 'POST /x HTTP/1.1\r\nHost: h\r\nContent-Length: 9999999\r\n\r\nsome');
    await client.sees('\r\n\r\nno');
    expect(client.text()).toMatch(/^HTTP\/1\.1 413 Too Large\r\n/);
    client.socket.destroy();
  });
});

describe('a body', () => {
  const SIZE = 64 * 1024 * 1024;

  it('is taken from the origin no faster than the client takes it', async () => {
    let sent = 0;
    const server = createHttpServer((_, outgoing) => {
      const chunk = Buffer.alloc(64 * 1024);
      const write = () => {
        while (sent < SIZE) {
          sent += chunk.length;
          if (!outgoing.write(chunk)) return void outgoing.once('drain', write);
        }
        outgoing.end();
      };
      write();
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const originUrl = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
    closing.push(async () => void server.close());
    const passthrough = await openPassthrough({ originUrl });
    closing.push(() => passthrough.close());
    const client = openRawClient(passthrough.url, get('/big'));
    await client.sees('\r\n\r\n');
    client.socket.pause();
    let before = -1;
    while (before !== sent) {
      before = sent;
      await new Promise((resolve) => setTimeout(resolve, 200));
    }
    expect(sent).toBeLessThan(SIZE / 2);
    client.socket.resume();
    await client.ended;
    expect(sent).toBe(SIZE);
    expect(client.text().length).toBeGreaterThan(SIZE);
  });

  it('is taken from the client no faster than the origin takes it', async () => {
    const { origin, passthrough } = await open((socket) => socket.pause());
    const client = openRawClient(passthrough.url, `PUT /big HTTP/1.1\r\nHost: h\r\nContent-Length: ${SIZE}\r\n\r\n`);
    client.socket.write(Buffer.alloc(SIZE));
    let before = -1;
    while (before !== client.socket.bytesWritten - client.socket.writableLength) {
      before = client.socket.bytesWritten - client.socket.writableLength;
      await new Promise((resolve) => setTimeout(resolve, 200));
    }
    expect(client.socket.writableLength).toBeGreaterThan(SIZE / 2);
    expect(origin.received).toHaveLength(1);
    client.socket.destroy();
  });
});
