/**
 * An organization moves to the backend and back while clients use it: the directory is the list of what has moved
 * (decisions.md, section 9). No call is lost, none is answered wrongly, and once the time to live has passed every one is
 * on the right side.
 */
import { once } from 'node:events';
import { Agent, createServer, request as send } from 'node:http';
import type { AddressInfo } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Holdover, startHoldover } from '../support/holdover.ts';
import { loadDirectory } from '../support/load-directory.ts';
import { type RedisServer, startRedis } from '../support/redis.ts';
import { BACKEND_USER, sampleDirectory, sampleRecord } from '../support/sample-directory.ts';
import { makeAccessToken, type ScriptedBackend, startScriptedBackend } from '../support/scripted-backend.ts';
import { createSecret, signToken, toClaims } from '../support/tokens.ts';

const SECRET = 'a secret of those who move while they are used';
const TTL_MS = 1000;
/** 10 clients, each of which rests this long between two calls: some 200 calls a second. */
const CLIENTS = 10;
const REST_MS = 45;
/** The last call that may still see the old directory has begun by then, and the load itself has been seen. */
const SETTLED_MS = TTL_MS + 100;
const AFTERWARDS_MS = 400;

type Side = 'backend' | 'origin';

interface Call {
  readonly guid: string;
  readonly beganAtMs: number;
  readonly side: Side | string;
}

const moving = sampleRecord({ guid: 'moving', backend: { organization_id: 'org-moving', credential: 'moving' } });
const settled = sampleRecord({ guid: 'settled', backend: { organization_id: 'org-settled', credential: 'settled' } });
const users = { 'uaa-id-110': BACKEND_USER };
const MOVED = sampleDirectory({ organizations: [moving, settled], users });
const NOT_MOVED = sampleDirectory({ organizations: [settled], users });

/** The old server: it removes whom it is told to remove, and counts. */
async function startOrigin() {
  let removals = 0;
  const server = createServer((incoming, outgoing) => {
    if (incoming.method === 'DELETE' && incoming.url === '/v2/organizations/moving/users/uaa-id-110') removals += 1;
    outgoing.writeHead(201, { 'X-Served-By': 'origin' }).end('{}');
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    get removals() {
      return removals;
    },
    async close() {
      server.close();
      server.closeAllConnections();
      await once(server, 'close');
    },
  };
}

describe.each(['node', 'workerd'] as const)('on %s', (runtime) => {
  let redis: RedisServer;
  let backend: ScriptedBackend;
  let origin: Awaited<ReturnType<typeof startOrigin>>;
  let holdover: Holdover;
  let authorization: string;

  beforeAll(async () => {
    redis = await startRedis();
    await loadDirectory(redis.url, MOVED);
    backend = await startScriptedBackend();
    backend.play(() => ({ status: 204 }));
    origin = await startOrigin();
    holdover = await startHoldover(runtime, {
      BACKEND_URL: backend.url,
      BACKEND_CREDENTIALS: JSON.stringify({
        moving: { token: makeAccessToken('org-moving') },
        settled: { token: makeAccessToken('org-settled') },
      }),
      LEGACY_TOKEN_SECRET: SECRET,
      LEGACY_ORIGIN_URL: origin.url,
      ORGANIZATIONS: 'redis',
      ORGANIZATION_CACHE_SECONDS: `${TTL_MS / 1000}`,
      REDIS_URL: redis.url,
      RATE_LIMIT: 'off',
    });
    authorization = `bearer ${await signToken(toClaims(), createSecret(SECRET))}`;
  });
  afterAll(async () => {
    await holdover.stop();
    await Promise.all([backend.close(), origin.close(), redis.stop()]);
  });

  /** One removal, and who answered it; anything that is neither side's right answer is said as it is. */
  function remove(guid: string, agent: Agent): Promise<Call> {
    const beganAtMs = performance.now();
    const path = `/v2/organizations/${guid}/users/uaa-id-110`;
    return new Promise((resolve, reject) => {
      const outgoing = send(holdover.url + path, { method: 'DELETE', agent, headers: { authorization } });
      outgoing.on('error', reject);
      outgoing.on('response', async (incoming) => {
        const chunks: Buffer[] = [];
        for await (const chunk of incoming) chunks.push(chunk as Buffer);
        const body = Buffer.concat(chunks).toString();
        const isOrigin = incoming.headers['x-served-by'] === 'origin' && body === '{}';
        const isBackend = body.includes(`"guid": "${guid}"`) && incoming.headers['x-served-by'] === undefined;
        const side = isOrigin ? 'origin' : isBackend ? 'backend' : body;
        resolve({ guid, beganAtMs, side: incoming.statusCode === 201 ? side : `${incoming.statusCode} ${body}` });
      });
      outgoing.end();
    });
  }

  it('answers every call by the side that has the organization, before, during and after both moves', async () => {
    const calls: Call[] = [];
    let isOver = false;
    const use = async (index: number) => {
      const agent = new Agent({ keepAlive: true, maxSockets: 1 });
      for (let turn = index; !isOver; turn += 1) {
        calls.push(await remove(turn % 4 === 0 ? 'settled' : 'moving', agent));
        await sleep(REST_MS);
      }
      agent.destroy();
    };
    const clients = Array.from({ length: CLIENTS }, (_, index) => use(index));

    /** Calls that began once the directory in force was `directory`, and the time to live had passed. */
    const move = async (directory: string): Promise<Call[]> => {
      await loadDirectory(redis.url, directory);
      await sleep(SETTLED_MS);
      const fromMs = performance.now();
      await sleep(AFTERWARDS_MS);
      return calls.filter(({ guid, beganAtMs }) => guid === 'moving' && beganAtMs >= fromMs);
    };
    await sleep(AFTERWARDS_MS);
    const before = calls.filter(({ guid }) => guid === 'moving');
    const movedBack = await move(NOT_MOVED);
    const movedAgain = await move(MOVED);
    isOver = true;
    await Promise.all(clients);

    const sidesOf = (some: readonly Call[]) => [...new Set(some.map(({ side }) => side))];
    expect(sidesOf(before)).toEqual(['backend']);
    expect(sidesOf(movedBack)).toEqual(['origin']);
    expect(sidesOf(movedAgain)).toEqual(['backend']);
    expect(sidesOf(calls.filter(({ guid }) => guid === 'settled'))).toEqual(['backend']);
    expect(sidesOf(calls).sort()).toEqual(['backend', 'origin']);
    // What a client was told has happened, once, on the side that told it.
    const count = (side: Side) => calls.filter((call) => call.side === side).length;
    expect(origin.removals).toBe(count('origin'));
    expect(backend.callsTo('remove')).toHaveLength(count('backend'));
  });
});
