/**
 * How Redis is reached: one client for the whole of a Node process, or one for each request on Workers. Both fail a
 * command rather than repeat it, since a repeated unit or audit line would count twice.
 */
import { Cluster, Redis, type RedisOptions } from 'ioredis';
import type { Log } from '../telemetry/log.ts';

export interface SharedRedis {
  readonly client: Redis | Cluster;
  /** Resolves when the first attempt to connect has ended, well or not, or has taken too long: Redis down is no start error. */
  readonly attempted: Promise<void>;
  /** Waits for answers that are still due, no longer than `timeoutMs`. */
  close(): Promise<void>;
}

export interface SharedRedisOptions {
  /** One, or the nodes of a Cluster. `redis://` or `rediss://`, with user and password where needed. */
  readonly urls: readonly string[];
  /** Longest wait for one command. */
  readonly timeoutMs: number;
  readonly log: Log;
}

export interface RequestRedisOptions {
  /** No Cluster: to learn its slots would cost each request more round trips. */
  readonly url: string;
  /** Longest wait for one command, connecting included. */
  readonly timeoutMs: number;
}

/** No request waits for a connection on Node, so this may be more patient than a command: TLS over some distance. */
const CONNECT_TIMEOUT_MS = 2000;
const MAX_RECONNECT_MS = 1000;
/** How soon a Cluster's failover is seen without a MOVED answer. */
const SLOTS_REFRESH_MS = 5000;
/** Some six seconds, longer than SLOTS_REFRESH_MS: a node that is only restarting is not given up. */
const NODE_RECONNECTS = 10;
/** The start waits no longer for Redis: one connection to learn a Cluster's nodes, and one to each of them. */
const FIRST_ATTEMPT_MS = 2 * CONNECT_TIMEOUT_MS;

/** For Node. Connects, and reconnects, by itself; a command fails at once while there is no connection. */
export function openSharedRedis({ urls, timeoutMs, log }: SharedRedisOptions): SharedRedis {
  const [first = '', ...others] = urls;
  const { client, attempted } = others.length === 0 ? openSingle(first, timeoutMs) : openCluster(urls, timeoutMs);
  const state = logState(client, urls, log);
  return {
    client,
    attempted: endedWithin(FIRST_ATTEMPT_MS, attempted),
    async close() {
      state.isClosing = true;
      await client.quit().catch(() => undefined);
      client.disconnect();
    },
  };
}

/**
 * For Workers, where a socket belongs to one request: connects at the first command, which waits for it, and takes one
 * round trip more than the connection itself. Never reconnects. To be ended with `disconnect()`.
 */
export function createRequestRedis({ url, timeoutMs }: RequestRedisOptions): Redis {
  const client = new Redis(url, {
    ...NEVER_TWICE,
    lazyConnect: true,
    enableReadyCheck: false,
    retryStrategy: () => null,
    connectTimeout: timeoutMs,
    commandTimeout: timeoutMs,
  });
  // Each command is told by its own rejection; without a listener ioredis prints.
  client.on('error', () => undefined);
  return client;
}

/** Protocol 2 without client info spares a round trip (HELLO, CLIENT SETINFO) on each new connection. */
const NEVER_TWICE = {
  protocol: 2,
  disableClientInfo: true,
  maxRetriesPerRequest: 0,
  autoResendUnfulfilledCommands: false,
} as const satisfies RedisOptions;

function toSharedOptions(timeoutMs: number) {
  return {
    ...NEVER_TWICE,
    connectTimeout: CONNECT_TIMEOUT_MS,
    commandTimeout: timeoutMs,
    // A connection that has gone silent (frozen server, lost route) is replaced, not waited for.
    socketTimeout: 2 * timeoutMs,
    maxLoadingRetryTime: MAX_RECONNECT_MS,
    // After a failover the same name may lead to the new primary. `true` reconnects and does not send the command again.
    reconnectOnError: (error: Error) => error.message.startsWith('READONLY'),
  } satisfies RedisOptions;
}

/** Doubles from 50 ms; the random part keeps replicas from coming back in step. */
function toReconnectMs(attempt: number): number {
  return Math.min(50 * 2 ** (attempt - 1), MAX_RECONNECT_MS) * (0.75 + Math.random() / 4);
}

function openSingle(url: string, timeoutMs: number) {
  const options = { ...toSharedOptions(timeoutMs), enableOfflineQueue: false, retryStrategy: toReconnectMs };
  const client = new Redis(url, options);
  return { client, attempted: untilReadyOrClosed(client) };
}

function openCluster(urls: readonly string[], timeoutMs: number) {
  const nodes = urls.map((url) => new URL(url));
  const [seed] = nodes;
  const credentials = seed?.password
    ? { username: decodeURIComponent(seed.username), password: decodeURIComponent(seed.password) }
    : {};
  const isTls = seed?.protocol === 'rediss:';
  const client: Cluster = new Cluster(
    nodes.map(({ hostname, port }) => ({ host: hostname.replace(/^\[|\]$/g, ''), port: Number(port || 6379) })),
    {
      redisOptions: { ...toSharedOptions(timeoutMs), ...credentials, ...(isTls ? { tls: {} } : {}) },
      enableOfflineQueue: false,
      clusterRetryStrategy: toReconnectMs,
      // A node that only waits to reconnect never ends, and ioredis begins anew with `urls` when all nodes have ended: so
      // one is given up at once while none has answered yet, and later when its address seems to have gone for good.
      clusterNodeRetryStrategy: (attempt) =>
        client.status === 'ready' && attempt <= NODE_RECONNECTS ? toReconnectMs(attempt) : null,
      slotsRefreshInterval: SLOTS_REFRESH_MS,
      slotsRefreshTimeout: CONNECT_TIMEOUT_MS,
      // Only MOVED and ASK send a command on: they prove that it did not run.
      retryDelayOnFailover: 0,
      retryDelayOnClusterDown: 0,
      // TLS checks the certificate against the name, so names are not resolved beforehand.
      dnsLookup: (name, callback) => callback(null, name),
    },
  );
  // A node's connection is opened when the node is learnt of, not by the first command that needs it. Only once the
  // Cluster is ready: its own check before that refuses a node that is still connecting.
  client.on('+node', (node: Redis) => {
    if (client.status === 'ready') openNode(node);
  });
  client.on('ready', () => client.nodes().forEach(openNode));
  const attempted = untilReadyOrClosed(client).then(() => Promise.all(client.nodes().map(openNode)));
  return { client, attempted: attempted.then(() => undefined) };
}

async function openNode(node: Redis): Promise<void> {
  if (node.status === 'ready' || node.status === 'end') return;
  if (node.status === 'wait') await node.connect().catch(() => undefined);
  else await untilReadyOrClosed(node);
}

function untilReadyOrClosed(client: Redis | Cluster): Promise<void> {
  return new Promise((resolve) => {
    client.once('ready', resolve);
    client.once('close', resolve);
  });
}

async function endedWithin(ms: number, work: Promise<void>): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<void>((resolve) => {
    timer = setTimeout(resolve, ms);
  });
  await Promise.race([work, late]);
  clearTimeout(timer);
}

/** One line when the connection is lost (or never came) and one when it stands, however many attempts lie between. */
function logState(client: Redis | Cluster, urls: readonly string[], log: Log): { isClosing: boolean } {
  const state = { isClosing: false };
  const redis = urls.map((url) => new URL(url).host).join(',');
  let isUp: boolean | undefined;
  let reason = 'the connection was closed';
  client.on('error', (error: Error) => {
    reason = error.message;
  });
  client.on('ready', () => {
    if (isUp !== true) log.info('connected to Redis', { redis });
    isUp = true;
  });
  client.on('close', () => {
    if (isUp !== false && !state.isClosing) log.warn('not connected to Redis', { redis, reason });
    isUp = false;
  });
  return state;
}
