/** The log: one shape of line on both runtimes, and what the line of a request holds and never holds. */
import { describe, expect, it } from 'vitest';
import type { Failure } from '../../src/failure.ts';
import { createJsonLog, toIsoTime } from '../../src/telemetry/json-log.ts';
import type { Log, LogLevel } from '../../src/telemetry/log.ts';
import { createRequestRecord, logRequest, type RequestRecord, toEnding } from '../../src/telemetry/request-log.ts';

const CANARY = 'canary-4f1e9b';

type Line = Record<string, unknown>;

function createLog(level: LogLevel, lines: Line[]): Log {
  return createJsonLog(level, (line) => {
    expect(line).not.toContain('\n');
    lines.push(JSON.parse(line));
  });
}

describe('a line', () => {
  it('has level, time, fields and message', () => {
    const lines: Line[] = [];
    const log = createLog('debug', lines);
    log.debug('a');
    log.info('b', { n: 1 });
    log.warn('c\n"', { text: 'd\n\u0000' });
    log.error('e', { none: undefined, list: [1] });
    const at = expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/);
    expect(lines).toEqual([
      { level: 'debug', at, message: 'a' },
      { level: 'info', at, n: 1, message: 'b' },
      { level: 'warn', at, text: 'd\n\u0000', message: 'c\n"' },
      { level: 'error', at, list: [1], message: 'e' },
    ]);
  });

  it('has the time at which it was written, however close the one before', () => {
    const at = [1417403599999, 1417403599999, 1417403600000, 1417403599999].map(toIsoTime);
    expect(at).toEqual([
      '2014-12-01T03:13:19.999Z',
      '2014-12-01T03:13:19.999Z',
      '2014-12-01T03:13:20.000Z',
      '2014-12-01T03:13:19.999Z',
    ]);
  });

  it('shows nothing that a terminal or a reader of lines takes for anything else', () => {
    const lines: string[] = [];
    const log = createJsonLog('info', (line) => lines.push(line));
    const misread = '\u007f\u0080\u009b\u009f\u2028\u202e\u2066';
    log.info('a', { text: misread });
    log.info(misread, { text: 'é→😀' });
    log.info('\u007f');
    expect(lines.join('')).not.toMatch(/[\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]/);
    expect(lines.map((line) => JSON.parse(line))).toMatchObject([
      { message: 'a', text: misread },
      { message: misread, text: 'é→😀' },
      { message: '\u007f' },
    ]);
  });

  it('is left out below LOG_LEVEL', () => {
    const lines: Line[] = [];
    const log = createLog('warn', lines);
    log.debug('a');
    log.info('b');
    log.warn('c');
    log.error('d');
    expect(lines.map(({ message }) => message)).toEqual(['c', 'd']);
  });

  it('never throws, whatever the fields are', () => {
    const lines: Line[] = [];
    const loop: Line = { n: 10n };
    loop['loop'] = loop;
    createLog('info', lines).error('x', { loop });
    expect(lines).toEqual([expect.objectContaining({ level: 'error', message: 'x' })]);
  });
});

/** A request that took 10 ms, of which 2 and 3 in steps; `fill` is the pipeline. */
function lineOf(fill: Partial<RequestRecord>, headers: Record<string, string> = {}, status = 201): Line {
  let now = 1000;
  const record = createRequestRecord(() => now);
  now += 2;
  record.step('authenticate');
  now += 3.00049;
  record.step('limit');
  Object.assign(record, fill);
  now = 1010;
  const request = new Request(`https://holdover.example/v2/${CANARY}?q=${CANARY}`, { method: 'DELETE', headers });
  const lines: Line[] = [];
  logRequest(createLog('info', lines), record, toEnding(request, 'id::1', record, status));
  expect(lines).toHaveLength(1);
  return lines[0] ?? {};
}

describe('the line of a request', () => {
  it('says who still calls what, how it ended, and where the time went', () => {
    const line = lineOf(
      {
        operation: 'remove-org-user',
        profile: '2014-12',
        organization: 'org-guid',
        caller: 'uaa-id-110',
        clientId: 'cf',
        removal: { outcome: 'removed', backendStatus: 204, backendRequestId: 'b-1', tries: 1 },
      },
      { 'User-Agent': 'go-cli/6.22.2+a95e24c (linux; amd64)' },
    );
    expect(line).toEqual({
      level: 'info',
      at: expect.any(String),
      request_id: 'id::1',
      backend_request_id: 'b-1',
      method: 'DELETE',
      operation: 'remove-org-user',
      profile: '2014-12',
      caller: 'uaa-id-110',
      client_id: 'cf',
      client: 'go-cli/6.22.2+a95e24c',
      organization: 'org-guid',
      outcome: 'removed',
      status: 201,
      backend_status: 204,
      tries: 1,
      ms: 10,
      authenticate_ms: 2,
      limit_ms: 3,
      message: 'request',
    });
  });

  it.each<[Failure, Line]>([
    [{ kind: 'route-unknown' }, { outcome: 'route-unknown' }],
    [
      { kind: 'token-invalid', reason: 'exp' },
      { outcome: 'token-invalid', reason: 'exp' },
    ],
    [
      { kind: 'unavailable', dependency: 'key-set', reason: 'timeout' },
      { outcome: 'unavailable', dependency: 'key-set', reason: 'timeout' },
    ],
    [
      { kind: 'unexpected', reason: 'Error: x\n at y' },
      { outcome: 'unexpected', reason: 'Error: x\n at y', level: 'error' },
    ],
  ])('names the failure: %j', (failure, expected) => {
    expect(lineOf({ failure })).toMatchObject({ level: 'info', ...expected });
  });

  it('names what was passed on, and what needed no backend', () => {
    expect(lineOf({ isPassedOn: true })).toMatchObject({ outcome: 'passed-on' });
    expect(lineOf({})).toMatchObject({ outcome: 'success' });
  });

  it('prefers the failure to all else', () => {
    const line = lineOf({
      isPassedOn: true,
      failure: { kind: 'unavailable', dependency: 'origin', reason: 'refused' },
    });
    expect(line).toMatchObject({ outcome: 'unavailable', dependency: 'origin' });
  });

  it('never holds the token, another header, the path or the query', () => {
    const headers = {
      Authorization: `Bearer ${CANARY}`,
      Cookie: CANARY,
      'X-Other': CANARY,
      'User-Agent': `cf/1 ${CANARY}`,
    };
    expect(JSON.stringify(lineOf({}, headers))).not.toContain(CANARY);
  });

  it.each([
    ['curl/7.88.1', 'curl/7.88.1'],
    ['CloudFoundryJavaClient/2.0 (Java; x)', 'CloudFoundryJavaClient/2.0'],
    ['Go-http-client/1.1', 'Go-http-client/1.1'],
    ['cf', 'cf'],
    ['cf;x', 'cf'],
    ['', undefined],
    ['{"level":"error"}', undefined],
    ['a\tb', 'a'],
    [`${'a'.repeat(41)}`, undefined],
    [`eyJhbGciOiJIUzI1NiJ9.${'a'.repeat(80)}`, undefined],
    [`cf/${'1'.repeat(41)}`, undefined],
    [`cf/1/${CANARY}`, undefined],
  ])('has the first product of User-Agent %j, or none', (userAgent, client) => {
    expect(lineOf({}, { 'User-Agent': userAgent })['client']).toBe(client);
  });

  it('is bounded, however long a client makes its ids', () => {
    const long = 'x'.repeat(16 * 1024);
    const line = lineOf({
      organization: long,
      caller: long,
      clientId: long,
      failure: { kind: 'unexpected', reason: long },
      removal: { outcome: 'removed', backendStatus: 204, backendRequestId: long, tries: 1 },
    });
    expect(JSON.stringify(line).length).toBeLessThan(6000);
  });

  it('adds the parts of a step that ran twice', () => {
    let now = 0;
    const record = createRequestRecord(() => now);
    for (const name of ['directory', 'limit', 'directory'] as const) {
      now += 1;
      record.step(name);
    }
    expect([record.stepMs('directory'), record.stepMs('limit'), record.stepMs('backend'), record.elapsedMs()]).toEqual([
      2, 1, 0, 3,
    ]);
  });
});
