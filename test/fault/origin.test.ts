/** What clients see when the old server fails, or they do: on Node, over the real listener. */
import type { Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, describe, expect, it } from 'vitest';
import { openPassthrough, type Passthrough, type PassthroughOptions } from '../support/passthrough.ts';
import { exchange, openRawClient, openRawOrigin, type RawOrigin, until } from '../support/raw-origin.ts';

const closing: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const close of closing.splice(0).reverse()) await close();
});

async function open(
  onHead: (socket: Socket, head: string) => unknown,
  options: Omit<PassthroughOptions, 'originUrl'> = {},
): Promise<{ readonly origin: RawOrigin; readonly passthrough: Passthrough }> {
  const origin = await openRawOrigin(onHead);
  closing.push(() => origin.close());
  const passthrough = await openPassthrough({ originUrl: origin.url, ...options });
  closing.push(() => passthrough.close());
  return { origin, passthrough };
}

const OK = 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok';

const request = (method: string, lines = '') => `${method} /x HTTP/1.1\r\nHost: h\r\nConnection: close\r\n${lines}\r\n`;

/** Long enough for an origin that answers at all, short enough to wait for. */
const PATIENCE_MS = 150;

describe('an origin that gives no answer', () => {
  it('is unavailable when it refuses connections', async () => {
    const { origin, passthrough } = await open(() => undefined);
    await origin.close();
    closing.shift();
    expect(await exchange(passthrough.url, request('GET'))).toMatch(/^HTTP\/1\.1 503 /);
    expect(passthrough.failures).toMatchObject([{ kind: 'unavailable', dependency: 'origin' }]);
  });

  it.each([
    ['closes the connection', (socket: Socket) => socket.end()],
    ['resets the connection', (socket: Socket) => socket.resetAndDestroy()],
    ['breaks off its head', (socket: Socket) => socket.end('HTTP/1.1 200 OK\r\nContent-Le')],
    ['speaks no HTTP', (socket: Socket) => socket.end('SSH-2.0-OpenSSH_9.2\r\n')],
    [
      'names two lengths',
      (socket: Socket) => socket.end('HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab'),
    ],
    [
      'frames its answer twice over',
      (socket: Socket) =>
        socket.end('HTTP/1.1 200 OK\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n'),
    ],
    [
      'has a head without end',
      (socket: Socket) => socket.end(`HTTP/1.1 200 OK\r\nX-A: ${'a'.repeat(1 << 20)}\r\n\r\n`),
    ],
    ['answers with a status that HTTP does not know', (socket: Socket) => socket.write('HTTP/1.1 999 Odd\r\n\r\n')],
    [
      'switches protocols unasked',
      (socket: Socket) => socket.write('HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n'),
    ],
  ])('is unavailable when it %s', async (_, onHead) => {
    const { passthrough } = await open(onHead);
    for (const method of ['GET', 'DELETE']) {
      const text = await exchange(passthrough.url, request(method));
      expect(text).toMatch(/^HTTP\/1\.1 503 Service Unavailable\r\n/);
    }
    expect(passthrough.failures.map(({ kind }) => kind)).toEqual(['unavailable', 'unavailable']);
  });

  it.each(['GET', 'POST'])(
    'is given up on at the deadline, and the call ended, when it keeps a %s waiting',
    async (method) => {
      const { origin, passthrough } = await open(() => undefined, { firstByteTimeoutMs: PATIENCE_MS });
      const lines = method === 'POST' ? 'Content-Length: 2\r\n\r\nok' : '';
      expect(await exchange(passthrough.url, request(method, lines))).toMatch(/^HTTP\/1\.1 503 /);
      expect(passthrough.failures).toMatchObject([{ reason: `no answer began within ${PATIENCE_MS} ms` }]);
      await until(() => origin.closed === 1);
    },
  );

  it('is given up on at the deadline when it takes no more of a body', async () => {
    const { passthrough } = await open((socket) => socket.pause(), { firstByteTimeoutMs: PATIENCE_MS });
    const client = openRawClient(passthrough.url, request('PUT', 'Content-Length: 99999999\r\n'));
    client.socket.write(Buffer.alloc(99_999_999));
    await client.sees('HTTP/1.1 503 ');
    client.socket.destroy();
  });
});

describe('the deadline', () => {
  it('does not run while a body is on its way', async () => {
    const { passthrough } = await open(() => undefined, { firstByteTimeoutMs: PATIENCE_MS });
    const client = openRawClient(passthrough.url, request('PUT', 'Content-Length: 10\r\n'));
    for (let sent = 0; sent < 9; sent += 1) {
      client.socket.write('x');
      await sleep(PATIENCE_MS / 3);
    }
    expect(client.text()).toBe('');
    await client.sees('HTTP/1.1 503 ');
    client.socket.destroy();
  });

  it('ends with the first byte of an answer: a silent event stream stays open', async () => {
    const sockets: Socket[] = [];
    const { passthrough } = await open(
      (socket) => {
        sockets.push(socket);
        socket.write('HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n');
      },
      { firstByteTimeoutMs: PATIENCE_MS },
    );
    const client = openRawClient(passthrough.url, request('GET'));
    await client.sees('\r\n\r\n');
    await sleep(PATIENCE_MS * 3);
    sockets[0]?.write('9\r\ndata: 1\n\n\r\n0\r\n\r\n');
    await client.sees('data: 1');
    expect(await client.ended).toBe('end');
  });
});

describe('an answer that breaks off', () => {
  const BEGUN = {
    'of a known length': 'HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\npart',
    'in chunks': 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\npart\r\n',
    'inside a chunk': 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nff\r\npart',
  };
  const BREAKS = { closed: (socket: Socket) => socket.end(), reset: (socket: Socket) => socket.resetAndDestroy() };

  for (const [how, begun] of Object.entries(BEGUN)) {
    for (const [end, breakOff] of Object.entries(BREAKS)) {
      it.each(['HTTP/1.1', 'HTTP/1.0'])(`${how}, connection ${end}, never looks complete to %s`, async (version) => {
        const sockets: Socket[] = [];
        const { passthrough } = await open((socket) => {
          sockets.push(socket);
          socket.write(begun);
        });
        const client = openRawClient(passthrough.url, `GET /x ${version}\r\nHost: h\r\n\r\n`);
        await client.sees('part');
        const [origin] = sockets;
        if (origin !== undefined) breakOff(origin);
        expect(await client.ended).toBe('reset');
        expect(client.text()).toMatch(/part(\r\n)?$/);
        expect(passthrough.warnings).toMatchObject([{ message: 'the origin broke off an answer' }]);
      });
    }
  }

  it('harms no other call', async () => {
    const { passthrough } = await open((socket, head) => {
      if (head.startsWith('GET')) socket.end('HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\npart');
      else socket.write(OK);
    });
    const [broken, ...whole] = await Promise.all(
      ['GET', 'DELETE', 'OPTIONS', 'DELETE'].map((method) => exchange(passthrough.url, request(method))),
    );
    expect(broken).toMatch(/part$/);
    for (const text of whole) expect(text).toMatch(/ok$/);
  });
});

describe('a client that hangs up', () => {
  it('before the answer ends the call at the origin', async () => {
    const { origin, passthrough } = await open(() => undefined);
    const client = openRawClient(passthrough.url, request('GET'));
    await until(() => origin.received.length === 1 && origin.received[0] !== '');
    client.socket.destroy();
    await until(() => origin.closed === 1);
    await until(() => passthrough.statuses.length === 1);
    expect(passthrough.statuses).toEqual([499]);
    expect(passthrough.failures).toEqual([]);
  });

  it('during the answer ends the call at the origin', async () => {
    const { origin, passthrough } = await open((socket) => {
      socket.write('HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\npart\r\n');
    });
    const client = openRawClient(passthrough.url, request('GET'));
    await client.sees('part');
    client.socket.destroy();
    await until(() => origin.closed === 1);
    expect(passthrough.warnings).toEqual([]);
  });

  it('during its upload ends the call at the origin, which never sees a whole body', async () => {
    const { origin, passthrough } = await open(() => undefined);
    const client = openRawClient(passthrough.url, `${request('POST', 'Transfer-Encoding: chunked\r\n')}4\r\npart\r\n`);
    await until(() => origin.received[0]?.includes('part') === true);
    client.socket.destroy();
    await until(() => origin.closed === 1);
    expect(origin.received[0]).not.toMatch(/0\r\n\r\n$/);
    expect(passthrough.failures).toEqual([]);
  });
});

describe('a client whose upload is no HTTP', () => {
  it('is told so, and the origin never sees a whole body', async () => {
    const { origin, passthrough } = await open(() => undefined);
    const client = openRawClient(passthrough.url, `${request('POST', 'Transfer-Encoding: chunked\r\n')}4\r\npart\r\n`);
    await until(() => origin.received[0]?.includes('part') === true);
    client.socket.write('no chunk\r\n');
    await client.sees('HTTP/1.1 400 ');
    await until(() => origin.closed === 1);
    expect(origin.received[0]).not.toMatch(/0\r\n\r\n$/);
  });
});

describe('a kept-alive connection that the origin has let go', () => {
  /** Answers the first request of a connection, and resets it at the second. */
  const onceEach = () => {
    const used = new WeakSet<Socket>();
    return (socket: Socket) => {
      if (used.has(socket)) return socket.resetAndDestroy();
      used.add(socket);
      return socket.write(OK);
    };
  };

  it.each(['GET', 'OPTIONS'])('costs a %s one repeat', async (method) => {
    const { origin, passthrough } = await open(onceEach());
    for (let calls = 0; calls < 4; calls += 1) {
      expect(await exchange(passthrough.url, request(method))).toMatch(/ok$/);
    }
    expect(origin.received.join('').match(new RegExp(`^${method} `, 'gm'))).toHaveLength(7);
  });

  it.each([
    ['DELETE', ''],
    ['PUT', ''],
    ['POST', 'Content-Length: 2\r\n\r\nok'],
    ['GET', 'Content-Length: 2\r\n\r\nok'],
  ])('never makes a %s be sent twice (%j)', async (method, lines) => {
    const { origin, passthrough } = await open((socket) => socket.resetAndDestroy());
    expect(await exchange(passthrough.url, request(method, lines))).toMatch(/^HTTP\/1\.1 503 /);
    expect(origin.received).toHaveLength(1);
  });

  it('gives up after one repeat', async () => {
    const { origin, passthrough } = await open((socket) => socket.resetAndDestroy());
    expect(await exchange(passthrough.url, request('GET'))).toMatch(/^HTTP\/1\.1 503 /);
    expect(origin.received).toHaveLength(2);
  });
});
