/**
 * Real Redis servers for tests: one, or a cluster. With TEST_REDIS_URL a plain `startRedis()` leases an empty database of
 * that server; tests that stop, freeze or configure a server ask for `own: true` and `skipIf(!(await canOwnRedis()))`.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, realpathSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { Cluster, Redis } from 'ioredis';
import { redisBinary } from './redis-binary.ts';

export interface RedisServer {
  readonly url: string;
  readonly port: number;
  /** The test's own connection; closed by `stop`. */
  client(): Redis;
  /** SIGSTOP: accepts connections, answers nothing. */
  freeze(): void;
  thaw(): void;
  /** SIGKILL: the port refuses connections, the data is lost. */
  kill(): Promise<void>;
  /** A new, empty server on the same port. */
  restart(): Promise<void>;
  stop(): Promise<void>;
}

export interface RedisServerOptions {
  /** More arguments of redis-server, e.g. `['--requirepass', 'x']`. Implies `own`. */
  readonly args?: readonly string[];
  /** Implies `own`. */
  readonly port?: number;
  /** A server of the test's own even where TEST_REDIS_URL names one: needed by freeze, kill, restart, CONFIG, FLUSHALL. */
  readonly own?: boolean;
}

/** How long a server may take to answer its first PING. */
const START_MS = 10_000;
const START_TRIES = 3;
/** A test run that was killed gives its databases of a shared server back after this time. */
const LEASE_SECONDS = 600;
/** Databases of a shared server that tests may lease; 0 holds the leases. */
const DATABASES = 15;

/** Servers that must not outlive the test run. */
const running = new Set<ChildProcess>();
process.once('exit', () => {
  for (const child of running) child.kill('SIGKILL');
});

export async function startRedis(options: RedisServerOptions = {}): Promise<RedisServer> {
  const shared = process.env['TEST_REDIS_URL'];
  const isOwn = options.own === true || options.args !== undefined || options.port !== undefined;
  return shared && !isOwn ? leaseDatabase(shared) : startServer(options);
}

/** `false`, with a line on standard error, only where TEST_REDIS_URL is set and there is no redis-server besides. */
export async function canOwnRedis(): Promise<boolean> {
  if (!process.env['TEST_REDIS_URL']) return true;
  try {
    await redisBinary();
    return true;
  } catch (error) {
    console.warn(`skipped: needs a Redis server of its own, not TEST_REDIS_URL. ${String(error)}`);
    return false;
  }
}

export interface RedisCluster {
  readonly nodes: readonly RedisServer[];
  /** What REDIS_URL is for it: all nodes, comma-separated. */
  readonly url: string;
  client(): Cluster;
  stop(): Promise<void>;
}

/** Masters only, the slots spread evenly; ready for commands when it resolves. On `ports`, where they are given. */
export async function startRedisCluster(size = 3, ports: readonly number[] = []): Promise<RedisCluster> {
  const nodes = await Promise.all(Array.from({ length: size }, (_, index) => startClusterNode(ports[index])));
  const clusters: Cluster[] = [];
  const perNode = Math.ceil(SLOTS / size);
  for (const [index, { server }] of nodes.entries()) {
    const first = index * perNode;
    await server.client().call('CLUSTER', 'ADDSLOTSRANGE', first, Math.min(first + perNode, SLOTS) - 1);
    await server.client().call('CLUSTER', 'SET-CONFIG-EPOCH', index + 1);
  }
  const [seed, ...others] = nodes;
  for (const { server, busPort } of others) {
    await seed?.server.client().call('CLUSTER', 'MEET', '127.0.0.1', server.port, busPort);
  }
  for (const { server } of nodes) {
    await until(async () => {
      const info = String(await server.client().call('CLUSTER', 'INFO'));
      return info.includes('cluster_state:ok') && info.includes(`cluster_known_nodes:${size}`);
    });
  }
  const servers = nodes.map(({ server }) => server);
  return {
    nodes: servers,
    url: servers.map(({ url }) => url).join(','),
    client() {
      const cluster = new Cluster(servers.map(({ port }) => ({ host: '127.0.0.1', port })));
      cluster.on('error', () => undefined);
      clusters.push(cluster);
      return cluster;
    },
    async stop() {
      for (const cluster of clusters) cluster.disconnect();
      await Promise.all(servers.map((server) => server.stop()));
    },
  };
}

const SLOTS = 16_384;

async function startClusterNode(port: number | undefined): Promise<{ server: RedisServer; busPort: number }> {
  // The bus port is the port + 10000 unless said otherwise, which may be taken or beyond 65535.
  const busPort = await freePort();
  const args = ['--cluster-enabled', 'yes', '--cluster-port', `${busPort}`, '--cluster-node-timeout', '2000'];
  return { server: await startServer(port === undefined ? { args } : { args, port }), busPort };
}

async function startServer({ args = [], port }: RedisServerOptions): Promise<RedisServer> {
  if (port !== undefined) return startServerOn(port, args);
  // Between asking for a free port and using it, another worker may have taken it.
  for (let tries = 1; tries < START_TRIES; tries += 1) {
    const server = await startServerOn(await freePort(), args).catch(() => undefined);
    if (server) return server;
  }
  return startServerOn(await freePort(), args);
}

async function startServerOn(port: number, args: readonly string[]): Promise<RedisServer> {
  const password = valueAfter(args, '--requirepass');
  const url = `redis://${password === undefined ? '' : `:${encodeURIComponent(password)}@`}127.0.0.1:${port}`;
  const clients: Redis[] = [];
  let launched = await launch(port, args, url);
  const kill = async () => {
    const { child, folder } = launched;
    if (child.exitCode === null && child.signalCode === null) {
      const ended = once(child, 'exit');
      child.kill('SIGKILL');
      await ended;
    }
    rmSync(folder, { recursive: true, force: true });
  };
  return {
    url,
    port,
    client: () => connect(url, clients),
    freeze: () => void launched.child.kill('SIGSTOP'),
    thaw: () => void launched.child.kill('SIGCONT'),
    kill,
    async restart() {
      await kill();
      launched = await launch(port, args, url);
    },
    async stop() {
      for (const client of clients) client.disconnect();
      await kill();
    },
  };
}

interface Launched {
  readonly child: ChildProcess;
  readonly folder: string;
}

async function launch(port: number, args: readonly string[], url: string): Promise<Launched> {
  const binary = await redisBinary();
  const folder = realpathSync(mkdtempSync(join(tmpdir(), 'holdover-redis-')));
  const plain = ['--port', `${port}`, '--bind', '127.0.0.1', '--save', '', '--appendonly', 'no', '--dir', folder];
  const child = spawn(binary.path, [...plain, ...args], {
    env: { ...process.env, ...binary.env },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  running.add(child);
  child.once('exit', () => running.delete(child));
  let said = '';
  child.stdout?.on('data', (chunk: Buffer) => {
    said = (said + chunk.toString()).slice(-2000);
  });
  const probe = new Redis(url, { retryStrategy: () => 20, maxRetriesPerRequest: null });
  probe.on('error', () => undefined);
  const failed = new Promise<never>((_resolve, reject) => {
    child.once('error', reject);
    child.once('exit', () => reject(new Error(`redis-server did not start:\n${said}`)));
  });
  const late = new AbortController();
  const timeout = sleep(START_MS, undefined, { signal: late.signal, ref: false }).then(
    () => Promise.reject(new Error(`redis-server did not answer:\n${said}`)),
    () => new Promise<never>(() => undefined),
  );
  try {
    const [, answering] = await Promise.race([probe.config('GET', 'dir'), failed, timeout]);
    if (answering !== folder) throw new Error(`another server has port ${port}`);
  } catch (error) {
    child.kill('SIGKILL');
    rmSync(folder, { recursive: true, force: true });
    throw error;
  } finally {
    late.abort();
    failed.catch(() => undefined);
    probe.disconnect();
  }
  return { child, folder };
}

async function leaseDatabase(url: string): Promise<RedisServer> {
  const base = new URL(url);
  base.pathname = '/0';
  const leases = new Redis(base.href, { maxRetriesPerRequest: 1 });
  leases.on('error', () => undefined);
  let database = 0;
  for (let candidate = 1; candidate <= DATABASES && database === 0; candidate += 1) {
    const isOurs = await leases.set(`holdover:test:lease:${candidate}`, process.pid, 'EX', LEASE_SECONDS, 'NX');
    if (isOurs === 'OK') database = candidate;
  }
  if (database === 0) throw new Error('TEST_REDIS_URL: every database is leased by another test');
  base.pathname = `/${database}`;
  const clients: Redis[] = [];
  await connect(base.href, clients).flushdb();
  const refuse = () => {
    throw new Error('TEST_REDIS_URL names a shared server: this test needs startRedis({ own: true })');
  };
  return {
    url: base.href,
    port: Number(base.port || 6379),
    client: () => connect(base.href, clients),
    freeze: refuse,
    thaw: refuse,
    kill: async () => refuse(),
    restart: async () => refuse(),
    async stop() {
      await connect(base.href, clients).flushdb();
      await leases.del(`holdover:test:lease:${database}`);
      for (const client of [...clients, leases]) client.disconnect();
    },
  };
}

function connect(url: string, clients: Redis[]): Redis {
  const client = new Redis(url);
  client.on('error', () => undefined);
  clients.push(client);
  return client;
}

export async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  server.close();
  await once(server, 'close');
  if (address === null || typeof address === 'string') throw new Error('no port');
  return address.port;
}

function valueAfter(args: readonly string[], name: string): string | undefined {
  const index = args.indexOf(name);
  return index === -1 ? undefined : args[index + 1];
}

async function until(isSo: () => Promise<boolean>): Promise<void> {
  const deadline = performance.now() + START_MS;
  while (!(await isSo())) {
    if (performance.now() > deadline) throw new Error('the cluster did not form');
    await sleep(50);
  }
}
