/** An old server that speaks in bytes, and a client that reads them: for tests where every byte matters. */
import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';

export interface RawOrigin {
  readonly url: string;
  /** The bytes of each connection, as Latin-1. */
  readonly received: string[];
  /** Connections that have ended, in any way. */
  readonly closed: number;
  close(): Promise<void>;
}

/** `onHead` gets the socket when the head of a request is complete, and what has come of the body with it. */
export async function openRawOrigin(onHead: (socket: Socket, head: string) => unknown): Promise<RawOrigin> {
  const received: string[] = [];
  const sockets = new Set<Socket>();
  let closed = 0;
  const server = createServer((socket) => {
    const index = received.push('') - 1;
    let head = '';
    sockets.add(socket);
    socket.on('error', () => undefined);
    socket.on('close', () => {
      sockets.delete(socket);
      closed += 1;
    });
    socket.on('data', (chunk) => {
      const text = chunk.toString('latin1');
      received[index] += text;
      const isNew = /^[A-Z]+ [^\r\n]* HTTP\/1\.1\r\n/.test(text);
      if (head.includes('\r\n\r\n') && !isNew) return;
      head = isNew ? text : head + text;
      if (head.includes('\r\n\r\n')) onHead(socket, head.slice(0, head.indexOf('\r\n\r\n') + 4));
    });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    received,
    get closed() {
      return closed;
    },
    async close() {
      for (const socket of sockets) socket.destroy();
      server.close();
      await once(server, 'close');
    },
  };
}

export interface RawClient {
  readonly socket: Socket;
  /** Everything so far, as Latin-1. */
  text(): string;
  /** Resolves when `text` holds `part`; rejects when it cannot any more. */
  sees(part: string): Promise<void>;
  /** How the connection ended: `end` is a FIN, in order. */
  readonly ended: Promise<'end' | 'reset'>;
}

export function openRawClient(url: string, bytes = ''): RawClient {
  const socket = connect(Number(new URL(url).port), '127.0.0.1');
  let text = '';
  socket.setEncoding('latin1');
  socket.on('data', (chunk) => {
    text += chunk;
  });
  let end: 'end' | 'reset' = 'end';
  const ended = new Promise<'end' | 'reset'>((resolve) => {
    socket.on('error', () => {
      end = 'reset';
    });
    socket.on('close', () => resolve(end));
  });
  if (bytes !== '') socket.write(bytes, 'latin1');
  return {
    socket,
    text: () => text,
    async sees(part) {
      while (!text.includes(part)) {
        if (socket.destroyed)
          throw new Error(`connection over before ${JSON.stringify(part)}: ${JSON.stringify(text)}`);
        await sleep(2);
      }
    },
    ended,
  };
}

/** The whole answer to `bytes`, which must ask for the connection to be closed. */
export async function exchange(url: string, bytes: string): Promise<string> {
  const client = openRawClient(url, bytes);
  await client.ended;
  return client.text();
}

/** Resolves when `condition` holds; the test's own time-out is the limit. */
export async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await sleep(2);
}
