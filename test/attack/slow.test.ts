/**
 * Connections that are held and never used. Each kind is begun before any test, on both runtimes at once, and must have been
 * ended by Holdover itself within what it promises.
 */
import { connect, type Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { expect } from 'vitest';
import { openRawClient, type RawClient } from '../support/raw-origin.ts';
import { describeAttacks } from './describe-attacks.ts';
import { ADMIN, ALICES, type Siege, toTarget } from './siege.ts';

/** HEADERS_TIMEOUT_MS of the listener and BODY_TIMEOUT_MS of the app, and a second to notice that they have passed. */
const PROMISED_MS = 16_000;
/** What a busy machine may add. */
const SLACK_MS = 4_000;

const CLIENTS_OF_A_KIND = 3;
const DRIBBLE_MS = 700;

const HEAD = `DELETE ${toTarget(ALICES, 'bob')} HTTP/1.1\r\nHost: h\r\nAuthorization: bearer ${ADMIN}\r\n`;
/** A route that nobody reads a body for. */
const NOWHERE = `POST /v2/nowhere HTTP/1.1\r\nHost: h\r\nAuthorization: bearer ${ADMIN}\r\n`;
const CHUNKED = `${HEAD}Transfer-Encoding: chunked\r\n\r\n`;

interface Held {
  readonly client: RawClient;
  readonly endedAfterMs: Promise<number>;
}

/** By runtime and kind. */
const held = new Map<string, readonly Held[]>();

function hold(url: string, first: string, dribble: string): Held {
  const startedAt = performance.now();
  const client = openRawClient(url, first);
  const timer = setInterval(() => client.socket.writable && client.socket.write(dribble), DRIBBLE_MS);
  const endedAfterMs = client.ended.then(() => {
    clearInterval(timer);
    return performance.now() - startedAt;
  });
  return { client, endedAfterMs };
}

/** Each in time; and whoever began a request was told why. */
async function wereEnded(kind: string, told: RegExp): Promise<void> {
  const connections = held.get(kind) ?? [];
  expect(connections).toHaveLength(CLIENTS_OF_A_KIND);
  for (const { endedAfterMs, client } of connections) {
    expect(await endedAfterMs).toBeLessThan(PROMISED_MS + SLACK_MS);
    expect(client.text()).toMatch(told);
  }
}

const NOT_FOUND = /^HTTP\/1\.1 404 [\s\S]*"code": 10000,/;
const BAD_REQUEST = /^HTTP\/1\.1 400 [\s\S]*"code": 10004,/;

/** Clients that end nothing themselves, not even when they are told to. */
const silent: Socket[] = [];
const SILENT_CLIENTS = 20;
let socketsBefore = 0;

/** Open in the process of Holdover. */
async function countSockets(siege: Siege): Promise<number> {
  const { adminUrl } = await siege.holdover();
  const text = await (await fetch(`${adminUrl}/metrics`)).text();
  return Number(/^nodejs_active_resources\{type="TCPSocketWrap"\} (\d+)$/m.exec(text)?.[1]);
}

async function prepare(siege: Siege): Promise<void> {
  const { url } = await siege.holdover();
  const begin = (kind: string, first: string, dribble: string) =>
    held.set(
      `${siege.runtime} ${kind}`,
      Array.from({ length: CLIENTS_OF_A_KIND }, () => hold(url, first, dribble)),
    );
  begin('chunks', CHUNKED, '1\r\nx\r\n');
  begin('length', `${HEAD}Content-Length: 1000\r\n\r\n`, 'x');
  if (siege.runtime !== 'node') return;
  socketsBefore = await countSockets(siege);
  begin('headers', HEAD, 'X: x\r\n');
  begin('unread chunks', `${NOWHERE}Transfer-Encoding: chunked\r\n\r\n`, '1\r\nx\r\n');
  begin('unread length', `${NOWHERE}Content-Length: 1000\r\n\r\n`, 'x');
  begin('request line', 'DELETE /', 'x');
  begin('nothing', '', '');
  for (let index = 0; index < SILENT_CLIENTS; index += 1) {
    const socket = connect({ port: Number(new URL(url).port), host: '127.0.0.1', allowHalfOpen: true });
    socket.on('error', () => undefined).write(index % 2 === 0 ? 'GARBAGE\r\n\r\n' : `${CHUNKED}no chunk\r\n`);
    silent.push(socket);
  }
}

describeAttacks(
  'slow',
  {
    'slow headers': async () => {
      await wereEnded('node headers', BAD_REQUEST);
      await wereEnded('node request line', BAD_REQUEST);
    },

    'a slow body': async ({ runtime }) => {
      await wereEnded(`${runtime} chunks`, BAD_REQUEST);
      await wereEnded(`${runtime} length`, BAD_REQUEST);
    },

    'a slow body that nobody reads': async () => {
      await wereEnded('node unread chunks', NOT_FOUND);
      await wereEnded('node unread length', NOT_FOUND);
    },

    'a connection that says nothing': () => wereEnded('node nothing', /^/),

    'garbage, and then never hanging up': async (siege) => {
      const deadline = performance.now() + PROMISED_MS + SLACK_MS;
      while ((await countSockets(siege)) > socketsBefore && performance.now() < deadline) await sleep(200);
      expect(socketsBefore).toBeGreaterThan(0);
      expect(await countSockets(siege)).toBeLessThanOrEqual(socketsBefore);
      for (const socket of silent) socket.destroy();
    },
  },
  prepare,
);
