/**
 * Attacks with the bytes of a connection: one message that two readers take for two, or for none. What Holdover does not
 * refuse must leave for the old server as exactly the message it was.
 */

import { setTimeout as sleep } from 'node:timers/promises';
import { expect } from 'vitest';
import { openRawClient } from '../support/raw-origin.ts';
import { describeAttacks } from './describe-attacks.ts';
import { ADMIN, ALICE, ALICES, type Siege, toHealthyStep, toTarget } from './siege.ts';

const toOriginEnv = (siege: Siege) => ({ LEGACY_ORIGIN_URL: siege.origin.url });

const PATH = toTarget(ALICES, 'bob');

/** The request that is hidden in another one: of somebody who may. */
const HIDDEN = `DELETE ${PATH} HTTP/1.1\r\nHost: h\r\nConnection: close\r\nAuthorization: bearer ${ALICE}\r\n\r\n`;

/** What an honest client sends behind a message, to be answered after it. */
const NEXT = 'GET /v2/next HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n';

/** Where a message may be sent: on to the old server, to the removal, and where nobody reads its body. */
const READING = ['POST /v2/spaces', `DELETE ${PATH}`];
const NOT_READING = [`GET /v2/organizations/${ALICES}`, `DELETE ${PATH}/`, 'PUT /_holdover/x'];

/** Silence after which a server that has answered has nothing more to say. */
const QUIET_MS = 120;

/** What comes back until the connection ends, or falls silent behind an answer. */
async function converse(siege: Siege, bytes: string): Promise<string> {
  const client = openRawClient((await siege.holdover(toOriginEnv(siege))).url, bytes);
  let seen = '';
  let seenAt = performance.now();
  while (!client.socket.destroyed && (seen === '' || performance.now() - seenAt < QUIET_MS)) {
    if (client.text() !== seen) seenAt = performance.now();
    seen = client.text();
    await Promise.race([client.ended, sleep(5)]);
  }
  client.socket.destroy();
  return client.text();
}

const statusesOf = (text: string) => [...text.matchAll(/HTTP\/1\.1 (\d{3}) /g)].map(([, status]) => Number(status));

/**
 * `lines` and `body` behind each door: one answer, and what is hidden in them is never asked for. Without `read` they are no
 * message, and whoever reads it is told so; with it the old server gets that body, no other, and then the next message.
 */
async function smuggles(siege: Siege, lines: string, body: string, read?: string): Promise<void> {
  for (const door of [...READING, ...NOT_READING]) {
    siege.forget();
    const bytes = `${door} HTTP/1.1\r\nHost: h\r\n${lines}\r\n${body}`;
    const [status, next, ...more] = statusesOf(await converse(siege, read === undefined ? bytes : bytes + NEXT));
    const shown = JSON.stringify(`${door} ${lines} ${body}`).slice(0, 400);
    expect([200, 400, 401, 404], shown).toContain(status);
    expect(more, shown).toEqual([]);
    expect(siege.removals(), shown).toEqual([]);
    const isNext = ({ target }: { target: string }) => target === '/v2/next';
    const bodies = siege.origin.requests.filter((request) => !isNext(request)).map((request) => request.body);
    expect(bodies, shown).toEqual(read !== undefined && door.startsWith('POST') ? [read] : []);
    // A connection whose body nobody reads may end with the answer.
    expect(next, shown).toBe(siege.origin.requests.some(isNext) ? 200 : undefined);
    if (READING.includes(door)) expect([status === 400, next], shown).toEqual([read === undefined, read && 200]);
    expect(siege.origin.violations).toEqual([]);
  }
}

const lengthOf = (body: string) => `Content-Length: ${body.length}\r\n`;
const CHUNKED = 'Transfer-Encoding: chunked\r\n';

describeAttacks('smuggling', {
  'CL.TE': async (siege) => {
    if (siege.runtime === 'node') {
      await smuggles(siege, `${lengthOf(`0\r\n\r\n${HIDDEN}`)}${CHUNKED}`, `0\r\n\r\n${HIDDEN}`);
      await smuggles(siege, `${CHUNKED}Content-Length: 4\r\n`, `0\r\n\r\n${HIDDEN}`);
    }
    // workerd reads by Transfer-Encoding; the length must not go on.
    else await smuggles(siege, `Content-Length: 3\r\n${CHUNKED}`, '5\r\nhello\r\n0\r\n\r\n', 'hello');
  },

  'TE.CL': async (siege) => {
    const hidden = `${HIDDEN}\r\n\r\n`;
    const body = `${hidden.length.toString(16)}\r\n${hidden}\r\n0\r\n\r\n`;
    if (siege.runtime === 'node') await smuggles(siege, `Content-Length: 4\r\n${CHUNKED}`, body);
    else await smuggles(siege, `Content-Length: 4\r\n${CHUNKED}`, body, hidden);
    await smuggles(siege, CHUNKED, body, hidden);
  },

  'TE.TE': async (siege) => {
    const body = `0\r\n\r\n${HIDDEN}`;
    const refused = [
      ...[
        'xchunked',
        'x',
        'identity',
        '"chunked"',
        'chunked, identity',
        'chunked;q=1',
        '\x0bchunked',
        'chunked\0',
        ',',
        'chunke\td',
      ],
    ].map((coding) => `Transfer-Encoding: ${coding}\r\n`);
    const lines = [
      'Transfer-Encoding : chunked',
      'Transfer-Encoding\r\n : chunked',
      'Transfer\x00-Encoding: chunked',
      'X: x\rTransfer-Encoding: chunked',
    ];
    for (const line of [...refused, ...lines.map((text) => `${text}\r\n`)]) {
      await smuggles(siege, line, body);
      await smuggles(siege, `${lengthOf(body)}${line}`, body);
    }
    for (const twice of [`${CHUNKED}Transfer-Encoding: x\r\n`, `${CHUNKED}Transfer-Encoding: identity\r\n`]) {
      await smuggles(siege, twice, body);
    }
    // A name of another header, and one that only CGI would take for it: the length alone counts.
    for (const twin of [
      'Transfer_Encoding: chunked\r\n',
      'X-Transfer-Encoding: chunked\r\n',
      'Transfer.Encoding: chunked\r\n',
    ]) {
      await smuggles(siege, `${lengthOf(body)}${twin}`, body, body);
    }
    for (const same of ['Transfer-Encoding: CHUNKED\r\n', 'transfer-encoding:\tchunked\r\n']) {
      await smuggles(siege, same, '5\r\nhello\r\n0\r\n\r\n', 'hello');
    }
  },

  'CL.0': async (siege) => {
    await smuggles(siege, lengthOf(HIDDEN), HIDDEN, HIDDEN);
  },

  'two lengths, or one that is no number': async (siege) => {
    const length = lengthOf(HIDDEN);
    const lines = [`Content-Length: 0\r\n${length}`, `${length}Content-Length: 0\r\n`, `${length}${length}`];
    const values = [
      '0, 5',
      '5, 5',
      '+5',
      '-5',
      '5 5',
      '0x5',
      '5e0',
      '5.0',
      '５',
      '',
      '5;',
      '5\0',
      '99999999999999999999',
      'x',
    ];
    for (const line of [...lines, ...values.map((value) => `Content-Length: ${value}\r\n`)]) {
      await smuggles(siege, line, HIDDEN);
    }
    await smuggles(siege, `Content-Length: 0000${HIDDEN.length}\r\n`, HIDDEN, HIDDEN);
    await smuggles(siege, `${lengthOf(HIDDEN)}Content_Length: 0\r\n`, HIDDEN, HIDDEN);
  },

  'bare LF': async (siege) => {
    const lines = [
      `X: x\n${lengthOf(HIDDEN)}`,
      `X: x\n\n${HIDDEN}`,
      `X: x\r\r\n`,
      `X: x\r\n\n${HIDDEN}`,
      `X: x\rContent-Length: 0\r\n`,
      '\n',
    ];
    for (const line of lines) await smuggles(siege, line, HIDDEN);
    for (const body of [
      `5\nhello\r\n0\r\n\r\n${HIDDEN}`,
      `5\r\nhello\n0\r\n\r\n${HIDDEN}`,
      `5\r\nhello\r\n0\n\n${HIDDEN}`,
    ]) {
      await smuggles(siege, CHUNKED, body);
    }
  },

  'obs-fold and space before the colon': async (siege) => {
    const folds = [
      'X: x\r\n Content-Length: 0\r\n',
      'Transfer-Encoding:\r\n chunked\r\n',
      'X: x\r\n\tchunked\r\n',
      ' X: x\r\n',
    ];
    const spaces = [
      `Content-Length : ${HIDDEN.length}\r\n`,
      'Transfer-Encoding\t: chunked\r\n',
      'Content Length: 5\r\n',
      ': x\r\n',
    ];
    for (const line of [...folds, ...spaces]) await smuggles(siege, line, HIDDEN);
  },

  'chunk extensions': async (siege) => {
    for (const extension of [';x', ';x=y', ';x="y"', ` ;x=${'y'.repeat(100)}`.trim()]) {
      await smuggles(siege, CHUNKED, `5${extension}\r\nhello\r\n0\r\n\r\n`, 'hello');
    }
    for (const extension of [
      ';\n',
      ';x\nxx',
      ';x="\r\n"',
      ';x\r',
      `;${'x'.repeat(20_000)}`,
      ';\0',
      '\n',
      ';x=y\n0\r\n\r\n',
    ]) {
      await smuggles(siege, CHUNKED, `5${extension}\r\nhello\r\n0\r\n\r\n${HIDDEN}`);
    }
  },

  'chunk sizes that readers disagree about': async (siege) => {
    const sizes = [
      'FFFFFFFFFFFFFFFF1',
      '10000000000000005',
      '-5',
      '+5',
      '0x5',
      '5h',
      '',
      ' 5',
      '5\0',
      '5_0',
      '５',
      '"5"',
      '5,0',
    ];
    for (const size of sizes) await smuggles(siege, CHUNKED, `${size}\r\nhello\r\n0\r\n\r\n${HIDDEN}`);
    await smuggles(siege, CHUNKED, '5\r\nhelloX\r\n0\r\n\r\n');
    await smuggles(siege, CHUNKED, '4\r\nhello\r\n0\r\n\r\n');
    await smuggles(siege, CHUNKED, '0005\r\nhello\r\n000\r\n\r\n', 'hello');
  },

  'garbage behind requests that are still being answered': async (siege) => {
    const { url } = await siege.holdover(toOriginEnv(siege));
    let removals = 0;
    siege.backend.play((call) => {
      if (call.endpoint === 'remove') removals += 1;
      return call.endpoint === 'remove' ? { status: 204, delayMs: 400 * removals } : toHealthyStep(call);
    });
    const request = `DELETE ${PATH} HTTP/1.1\r\nHost: h\r\nAuthorization: bearer ${ADMIN}\r\n\r\n`;
    // Behind one that is done, and behind one that is not.
    const behind = openRawClient(url, `${request}CONNECT h:1 HTTP/1.1\r\nHost: h:1\r\n\r\n`);
    await behind.ended;
    expect(statusesOf(behind.text())).toEqual([201]);
    const client = openRawClient(url, request + request);
    await client.sees('HTTP/1.1 201 ');
    client.socket.write('GARBAGE\r\n\r\n');
    await client.ended;
    // Neither of them is told that what was done was not.
    expect(statusesOf(client.text())).toEqual([201, 201]);
    siege.backend.play(toHealthyStep);
  },
});
