/**
 * The origin behind what ships, on both runtimes, where a fixture of `test/contract/origin` cannot say it: bodies that
 * stream, who the client is, a real loop, a directory that is gone. The passthrough by itself, byte for byte and fault by
 * fault: `test/unit/origin-*.test.ts` and `test/fault/origin.test.ts`.
 */
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { createServer, type IncomingMessage, type ServerResponse, request as send } from 'node:http';
import type { AddressInfo } from 'node:net';
import { gzipSync } from 'node:zlib';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Holdover, startHoldover } from '../support/holdover.ts';
import { loadDirectory } from '../support/load-directory.ts';
import { rawRequest } from '../support/raw-request.ts';
import { type RedisServer, startRedis } from '../support/redis.ts';
import { createSecret, signToken, toClaims } from '../support/tokens.ts';

const SECRET = 'a secret of those who are passed on, long enough';
const NOT_MOVED = '/v2/organizations/0a1b2c3d-0000-4000-8000-00000000beef';
const UPLOAD_BYTES = 4 * 1024 * 1024;

interface Origin {
  readonly url: string;
  /** What answers the next calls. */
  onCall: (incoming: IncomingMessage, outgoing: ServerResponse) => unknown;
  readonly calls: IncomingMessage[];
  close(): Promise<void>;
}

const answerPlainly: Origin['onCall'] = (incoming, outgoing) =>
  incoming.resume().on('end', () => outgoing.end('of the origin'));

async function startOrigin(): Promise<Origin> {
  const calls: IncomingMessage[] = [];
  const server = createServer((incoming, outgoing) => {
    calls.push(incoming);
    void origin.onCall(incoming, outgoing);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const origin: Origin = {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    onCall: answerPlainly,
    calls,
    async close() {
      server.close();
      server.closeAllConnections();
      await once(server, 'close');
    },
  };
  return origin;
}

describe.each(['node', 'workerd'] as const)('on %s', (runtime) => {
  let redis: RedisServer;
  let origin: Origin;
  let holdover: Holdover;
  let authorization: string;

  beforeAll(async () => {
    redis = await startRedis();
    await loadDirectory(redis.url, readFileSync('test/contract/directory.json', 'utf8'));
    origin = await startOrigin();
    holdover = await startHoldover(runtime, {
      BACKEND_URL: 'http://127.0.0.1:1/v1',
      BACKEND_CREDENTIALS: '{"page": {"token": "x"}}',
      LEGACY_TOKEN_SECRET: SECRET,
      LEGACY_ORIGIN_URL: origin.url,
      ORGANIZATIONS: 'redis',
      REDIS_URL: redis.url,
      RATE_LIMIT: 'off',
    });
    authorization = `bearer ${await signToken(toClaims(), createSecret(SECRET))}`;
  });
  afterAll(async () => {
    await holdover.stop();
    await Promise.all([origin.close(), redis.stop()]);
  });

  const ask = (method: string, target: string, headers: Readonly<Record<string, string>> = {}) =>
    rawRequest(holdover.url, { method, target, headers: { Authorization: authorization, ...headers } });

  it('streams an upload and a download, neither held to the 64 KiB of adapted routes', async () => {
    origin.onCall = (incoming, outgoing) => {
      outgoing.writeHead(201, { 'Content-Type': 'application/octet-stream' });
      incoming.pipe(outgoing);
    };
    const body = 'bits '.repeat(UPLOAD_BYTES / 5);
    const answer = await rawRequest(holdover.url, {
      method: 'PUT',
      target: '/v2/apps/1/bits',
      headers: { Authorization: authorization },
      body,
    });
    expect(answer.status).toBe(201);
    expect(answer.body.equals(Buffer.from(body))).toBe(true);
  });

  it('gives a client each event of a stream when it comes', async () => {
    const sources: ServerResponse[] = [];
    origin.onCall = (_, outgoing) => {
      sources.push(outgoing);
      outgoing.writeHead(200, { 'Content-Type': 'text/event-stream' }).write('data: 1\n\n');
    };
    const asked = send(`${holdover.url}/v2/events`, { headers: { authorization } }).end();
    const [incoming] = (await once(asked, 'response')) as [IncomingMessage];
    const events = incoming.setEncoding('utf8')[Symbol.asyncIterator]();
    expect(await events.next()).toEqual({ done: false, value: 'data: 1\n\n' });
    sources[0]?.end('data: 2\n\n');
    expect(await events.next()).toEqual({ done: false, value: 'data: 2\n\n' });
    expect((await events.next()).done).toBe(true);
  });

  it('tells the origin who asks and what for, and believes no stranger about it', async () => {
    origin.onCall = answerPlainly;
    const before = origin.calls.length;
    const edge: Record<string, string> = runtime === 'workerd' ? { 'CF-Connecting-IP': '198.51.100.7' } : {};
    const lies = { 'X-Forwarded-For': '10.0.0.1', 'X-Forwarded-Proto': 'https', 'X-Real-IP': '10.0.0.1' };
    await ask('GET', '/v2/apps', { Host: 'api.example.com', ...lies, ...edge });
    const { headers } = origin.calls[before] as IncomingMessage;
    expect(headers['x-forwarded-for']).toBe(runtime === 'node' ? '127.0.0.1' : '198.51.100.7');
    expect(headers['x-forwarded-proto']).toBe('http');
    expect(headers['x-forwarded-host']).toBe('api.example.com');
    expect(headers['x-real-ip']).toBeUndefined();
    expect(headers.host).toBe(new URL(origin.url).host);
  });

  it.each([undefined, 'gzip', 'gzip;q=1.0,deflate;q=0.6,identity;q=0.3'])(
    'asks the origin for the codings that the client takes: %s',
    async (codings) => {
      origin.onCall = answerPlainly;
      const before = origin.calls.length;
      await ask('GET', '/v2/apps', codings === undefined ? {} : { 'Accept-Encoding': codings });
      expect(origin.calls[before]?.headers['accept-encoding']).toBe(codings);
    },
  );

  it("leaves the origin's own compression as it is", async () => {
    const packed = gzipSync(JSON.stringify({ resources: Array(100).fill('old') }));
    origin.onCall = (_, outgoing) => {
      outgoing.writeHead(200, { 'Content-Type': 'application/json', 'Content-Encoding': 'gzip' }).end(packed);
    };
    const answer = await ask('GET', '/v2/apps', { 'Accept-Encoding': 'gzip' });
    expect(answer.headers.get('content-encoding')).toBe('gzip');
    expect(answer.body.equals(packed)).toBe(true);
  });

  it('ends a loop at its second turn', async () => {
    // An origin that leads back here, as a wrong DNS record would.
    origin.onCall = ({ method, url, rawHeaders }, outgoing) => {
      const again = send(holdover.url + url, { method, headers: rawHeaders, agent: false } as object).end();
      again.on('response', (back) => back.pipe(outgoing.writeHead(back.statusCode ?? 500, back.headers)));
    };
    for (const [method, target] of [
      ['GET', '/v2/apps'],
      ['DELETE', `${NOT_MOVED}/users/uaa-id-110`],
    ] as const) {
      const before = origin.calls.length;
      const { status, body } = await ask(method, target);
      expect([status, JSON.parse(body.toString()).code]).toEqual([503, 10015]);
      expect(origin.calls.length - before).toBe(1);
    }
  });

  it('never takes a directory that is gone for one that does not have the organization', async () => {
    origin.onCall = answerPlainly;
    await redis.client().flushdb();
    const before = origin.calls.length;
    for (const [method, target] of [
      ['DELETE', `${NOT_MOVED}-other/users/uaa-id-110`],
      ['GET', `${NOT_MOVED}-other`],
    ] as const) {
      const { status, body } = await ask(method, target);
      expect([status, JSON.parse(body.toString()).code]).toEqual([503, 10015]);
    }
    expect(origin.calls.length).toBe(before);
    expect((await ask('GET', '/v2/apps')).body.toString()).toBe('of the origin');
  });
});
