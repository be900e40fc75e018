/**
 * What a Durable Object that holds one Redis connection would gain over Holdover's connection per request: one decision of
 * the limiter each way, and none, at 1, 8 and 32 requests at a time. Measured and not built in (issue 3): on workerd
 * 2026-04-26 such a client can be left without a connection and not know it (runtime.md, section 2). Needs redis-server, or
 * REDIS_URL. Run:
 *   node bench/durable-object.mjs [ROUND TRIP IN MS]
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { Agent, request } from 'node:http';
import { connect, createServer } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { build } from 'esbuild';
import { Redis } from 'ioredis';
import { Miniflare } from 'miniflare';

const ROUND_TRIP_MS = Number(process.argv[2] ?? 0);
const CONCURRENCIES = [1, 8, 32];
const ROUNDS = 5;
/** One kind of request in one round. */
const MEASURE_MS = 1500;

const KINDS = { none: 'no Redis at all', request: 'a connection per request', object: 'one in a Durable Object' };

const WORKER = `
import { createRequestRedis } from './src/redis/connection.ts';
import { createRedisLimitStore } from './src/redis/limiter.ts';

const QUOTA = { limit: 1_000_000, periodSeconds: 3600 };
const timeoutMs = 2000;
const monotonicMs = () => performance.now();
const take = (client, name) => createRedisLimitStore(client, { timeoutMs, monotonicMs }).take(name, QUOTA);

export default {
  async fetch(request, env, ctx) {
    const { pathname, searchParams } = new URL(request.url);
    const name = searchParams.get('caller');
    if (pathname === '/object') return env.HOLDER.get(env.HOLDER.idFromName('one')).fetch(request);
    if (pathname === '/request') {
      const client = createRequestRedis({ url: env.REDIS_URL, timeoutMs });
      try {
        await take(client, name);
      } finally {
        ctx.waitUntil(Promise.resolve().then(() => client.disconnect()));
      }
    }
    return new Response('taken');
  },
};

export class Holder {
  #env;
  #client;

  constructor(_state, env) {
    this.#env = env;
  }

  async fetch(request) {
    this.#client ??= createRequestRedis({ url: this.#env.REDIS_URL, timeoutMs });
    const client = this.#client;
    try {
      await take(client, new URL(request.url).searchParams.get('caller'));
    } catch (error) {
      // It may say that it is ready and never answer again.
      client.disconnect();
      if (this.#client === client) this.#client = undefined;
      throw error;
    }
    return new Response('taken');
  }
}
`;

const redis = await openRedis();
const line = ROUND_TRIP_MS > 0 ? await openLine(redis.port) : undefined;
const worker = new Miniflare({
  modules: [{ type: 'ESModule', path: 'worker.js', contents: await bundle() }],
  compatibilityDate: '2026-04-20',
  compatibilityFlags: ['nodejs_compat'],
  bindings: { REDIS_URL: line ? `redis://127.0.0.1:${line.port}` : redis.url },
  durableObjects: { HOLDER: 'Holder' },
  host: '127.0.0.1',
  port: 0,
  cf: false,
});
try {
  const url = await worker.ready;
  console.log(`${ROUNDS} rounds of ${MEASURE_MS} ms each, round trip to Redis ${ROUND_TRIP_MS || 'of loopback'} ms`);
  for (const concurrency of CONCURRENCIES) {
    const found = { none: [], request: [], object: [] };
    for (const kind of Object.keys(found)) await measure(url, kind, concurrency, MEASURE_MS / 3);
    for (let round = 0; round < ROUNDS; round += 1) {
      for (const [kind, figures] of Object.entries(found))
        figures.push(await measure(url, kind, concurrency, MEASURE_MS));
    }
    report(concurrency, found);
  }
} finally {
  await worker.dispose();
  line?.close();
  redis.stop();
}

async function bundle() {
  const { outputFiles } = await build({
    stdin: { contents: WORKER, resolveDir: process.cwd(), loader: 'js' },
    bundle: true,
    minify: true,
    format: 'esm',
    platform: 'node',
    conditions: ['workerd', 'worker', 'browser'],
    write: false,
    // ioredis is CommonJS.
    banner: { js: 'import{createRequire as __cr}from"node:module";const require=__cr("/");' },
  });
  return outputFiles[0].text;
}

/** Requests a second, and the median in ms. */
async function measure(url, kind, concurrency, ms) {
  const agent = new Agent({ keepAlive: true, maxSockets: concurrency });
  const times = [];
  const endsAt = performance.now() + ms;
  const startedAt = performance.now();
  const work = async (_, index) => {
    while (performance.now() < endsAt) {
      const sentAt = performance.now();
      await send(new URL(`/${kind}?caller=${index}`, url), agent);
      times.push(performance.now() - sentAt);
    }
  };
  await Promise.all(Array.from({ length: concurrency }, work));
  const seconds = (performance.now() - startedAt) / 1000;
  agent.destroy();
  return { perSecond: times.length / seconds, medianMs: toMedian(times) };
}

function send(url, agent) {
  return new Promise((resolve, reject) => {
    const outgoing = request(url, { agent }, (incoming) => {
      if (incoming.statusCode !== 200) reject(new Error(`${url.pathname} answered ${incoming.statusCode}`));
      incoming.resume().on('end', resolve);
    });
    outgoing.on('error', reject).end();
  });
}

/** The median round of each kind; ratios are of rounds that stood side by side. */
function report(concurrency, found) {
  console.log(`\n${concurrency} at a time`);
  for (const [kind, figures] of Object.entries(found)) {
    const perSecond = toMedian(figures.map((figure) => figure.perSecond));
    const medianMs = toMedian(figures.map((figure) => figure.medianMs));
    console.log(`  ${KINDS[kind].padEnd(26)} ${perSecond.toFixed(0).padStart(6)}/s  p50 ${medianMs.toFixed(2)} ms`);
  }
  const ratio = (name) => toMedian(found.object.map((figure, round) => figure[name] / found.request[round][name]));
  console.log(`  object / request           ${ratio('perSecond').toFixed(2)}x    p50 ${ratio('medianMs').toFixed(2)}x`);
}

function toMedian(values) {
  return [...values].sort((one, other) => one - other)[Math.floor(values.length / 2)];
}

async function openRedis() {
  const given = process.env.REDIS_URL;
  if (given) return { url: given, port: Number(new URL(given).port || 6379), stop() {} };
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address();
  server.close();
  await once(server, 'close');
  const args = ['--port', `${port}`, '--bind', '127.0.0.1', '--save', '', '--appendonly', 'no'];
  const child = spawn('redis-server', args, { stdio: 'ignore' });
  const probe = new Redis(port, '127.0.0.1', { retryStrategy: () => 20, maxRetriesPerRequest: null });
  probe.on('error', () => undefined);
  await probe.ping();
  probe.disconnect();
  return { url: `redis://127.0.0.1:${port}`, port, stop: () => child.kill() };
}

/** A long line to Redis: what opens a connection waits a round trip before its first bytes pass, as a TCP handshake does. */
async function openLine(redisPort) {
  const delay = async (from, to, firstMs) => {
    let isFirst = true;
    let queue = Promise.resolve();
    from.on('data', (chunk) => {
      const due = sleep(ROUND_TRIP_MS / 2 + (isFirst ? firstMs : 0));
      isFirst = false;
      queue = queue.then(() => due).then(() => to.write(chunk));
    });
    from.on('error', () => undefined).on('close', () => to.destroy());
  };
  const server = createServer({ noDelay: true }, (near) => {
    const far = connect({ port: redisPort, host: '127.0.0.1', noDelay: true });
    delay(near, far, ROUND_TRIP_MS);
    delay(far, near, 0);
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  return { port: server.address().port, close: () => server.close() };
}
