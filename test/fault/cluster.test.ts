/**
 * Redis Cluster and private certificates, on Node, which alone speaks to them (README, "Two runtimes"): what ships, two
 * replicas of it, and three real nodes. The store by itself: test/fault/redis-limiter.test.ts.
 */
import { execFile } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import type { Redis } from 'ioredis';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { type Certificates, createCertificates } from '../support/fault-proxy.ts';
import type { Holdover } from '../support/holdover.ts';
import { type MemberBackend, startMemberBackend } from '../support/member-backend.ts';
import { canOwnRedis, freePort, type RedisCluster, startRedis, startRedisCluster } from '../support/redis.ts';
import { expectTruth, newMember, remove, type Seen, start, toDirectory } from './rig.ts';

const LIMIT = 20;
const CALLERS = 12;

/** So often everybody must be counted before a Cluster is taken for whole again. */
const ROUNDS_IN_A_ROW = 10;

const closers: (() => unknown)[] = [];
afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close();
});

let backend: MemberBackend;
const folder = mkdtempSync(join(tmpdir(), 'holdover-cluster-'));
const directory = join(folder, 'organizations.json');
beforeAll(async () => {
  backend = await startMemberBackend(['main']);
  writeFileSync(directory, toDirectory(['main'], 3));
});
afterAll(async () => {
  await backend.close();
  rmSync(folder, { recursive: true, force: true });
});

async function startReplica(env: Readonly<Record<string, string>>): Promise<Holdover> {
  const holdover = await start('node', backend, env);
  closers.push(() => holdover.stop());
  return holdover;
}

async function startCluster(): Promise<RedisCluster> {
  const cluster = await startRedisCluster(3);
  closers.push(() => cluster.stop());
  return cluster;
}

async function loadDirectory(redisUrl: string, env: Readonly<Record<string, string>> = {}): Promise<string> {
  const { stdout } = await promisify(execFile)(process.execPath, ['dist/directory-command.mjs', 'load', directory], {
    env: { PATH: process.env['PATH'], REDIS_URL: redisUrl, ...env },
  });
  return stdout;
}

/** Everybody asks `times` times, of all replicas in turn; gives the statuses by caller. */
async function askAll(replicas: readonly Holdover[], callers: readonly string[], times: number): Promise<number[][]> {
  const statuses: number[][] = callers.map(() => []);
  for (let round = 0; round < times; round += 1) {
    const replica = replicas[round % replicas.length] as Holdover;
    const answers = await Promise.all(
      callers.map((caller) => remove(replica, { guid: 'main', user: randomUUID(), caller })),
    );
    for (const [index, { status }] of answers.entries()) statuses[index]?.push(status);
  }
  return statuses;
}

const countOf = (statuses: readonly number[], status: number) => statuses.filter((found) => found === status).length;

const newCallers = () => Array.from({ length: CALLERS }, () => randomUUID());

describe.skipIf(!(await canOwnRedis()))('Redis Cluster', () => {
  it('two replicas share each quota exactly, over keys of every node, and the directory', {
    timeout: 60_000,
  }, async () => {
    const cluster = await startCluster();
    expect(await loadDirectory(cluster.url)).toMatch(/4 organizations|organizations/);
    const env = { REDIS_URL: cluster.url, REDIS_TIMEOUT_MS: '2000', RATE_LIMIT: `${LIMIT}/1h` };
    const replicas = await Promise.all([startReplica(env), startReplica(env)]);

    const statuses = await askAll(replicas, newCallers(), LIMIT + 6);
    expect(statuses.map((found) => [countOf(found, 201), countOf(found, 429)])).toEqual(statuses.map(() => [LIMIT, 6]));
    const perNode = await Promise.all(cluster.nodes.map((node) => node.client().keys('holdover:limit:*')));
    for (const keys of perNode) expect(keys.length).toBeGreaterThan(0);

    // Each organization by itself, through the node that has the directory.
    for (const guid of ['cold-1', 'cold-2', 'cold-3', 'nowhere']) {
      const user = newMember(backend);
      const seen = await remove(replicas[0] as Holdover, { guid, user });
      expect(seen.status).toBe(guid === 'nowhere' ? 404 : 201);
      if (guid !== 'nowhere') await expectTruth(replicas[0] as Holdover, backend, user, seen);
    }
  });

  it('a node that fails over loses no count that was replicated, and requests go on meanwhile', {
    timeout: 90_000,
  }, async () => {
    const cluster = await startCluster();
    await loadDirectory(cluster.url);
    const [first] = cluster.nodes;
    if (first === undefined) throw new Error('no node');
    const heir = await startHeir(cluster, first);
    const common = { REDIS_URL: cluster.url, RATE_LIMIT: `${LIMIT}/1h`, ORGANIZATIONS: `file:${directory}` };
    const [strict, lenient] = await Promise.all([
      // A machine that stands still for a moment is no outage.
      startReplica({ ...common, RATE_LIMIT_ON_FAILURE: 'closed', REDIS_TIMEOUT_MS: '2000' }),
      startReplica({ ...common, RATE_LIMIT_ON_FAILURE: 'local' }),
    ]);
    const callers = newCallers();
    const before = await askAll([strict], callers, LIMIT / 2);
    expect(before.map((found) => countOf(found, 201))).toEqual(callers.map(() => LIMIT / 2));
    await untilReplicated(first.client(), heir);
    await first.kill();

    let during: Seen | undefined;
    for (const caller of newCallers()) {
      during = await remove(lenient, { guid: 'main', user: randomUUID(), caller });
      expect(during.status).toBe(201);
    }
    // An election that a slow machine loses is held again four node time-outs later.
    const endsAt = performance.now() + 45_000;
    while (!String(await heir.info('replication')).includes('role:master')) {
      expect(performance.now()).toBeLessThan(endsAt);
      await sleep(100);
    }
    // Until this process knows it, too: by somebody whose key is there.
    await untilAllCounted(strict);
    const after = await askAll([strict], callers, LIMIT);
    const allowed = after.map((found, index) => countOf(found, 201) + countOf(before[index] ?? [], 201));
    expect(allowed).toEqual(callers.map(() => LIMIT));
    for (const found of after) expect(countOf(found, 503)).toBe(0);
  });

  /** A fourth node, which replicates `first`, and which the others know: whom they do not know they do not elect. */
  async function startHeir({ nodes }: RedisCluster, first: RedisCluster['nodes'][number]) {
    const busPort = await freePort();
    const args = ['--cluster-enabled', 'yes', '--cluster-port', `${busPort}`, '--cluster-node-timeout', '2000'];
    const heir = await startRedis({ args: [...args, '--repl-diskless-sync-delay', '0'] });
    closers.push(() => heir.stop());
    const client = heir.client();
    const id = String(await first.client().call('CLUSTER', 'MYID'));
    await first.client().config('SET', 'repl-diskless-sync-delay', 0);
    await first.client().call('CLUSTER', 'MEET', '127.0.0.1', heir.port, busPort);
    const endsAt = performance.now() + 20_000;
    for (;;) {
      const known = String(await client.call('CLUSTER', 'NODES'));
      const hasJoined =
        known.includes(id) && (await client.call('CLUSTER', 'REPLICATE', id).catch(() => false)) === 'OK';
      if (hasJoined) break;
      expect(performance.now()).toBeLessThan(endsAt);
      await sleep(50);
    }
    while (!String(await client.info('replication')).includes('master_link_status:up')) {
      expect(performance.now()).toBeLessThan(endsAt);
      await sleep(50);
    }
    const ownId = String(await client.call('CLUSTER', 'MYID'));
    const replica = new RegExp(`^${ownId} \\S+ slave ${id} .* connected`, 'm');
    for (const node of nodes) {
      while (!replica.test(String(await node.client().call('CLUSTER', 'NODES')))) {
        expect(performance.now()).toBeLessThan(endsAt);
        await sleep(50);
      }
    }
    return client;
  }

  /** What the node has written, its replica has. (WAIT knows only of the writes of its own connection.) */
  async function untilReplicated(node: Redis, replica: Redis): Promise<void> {
    const written = Number(/master_repl_offset:(\d+)/.exec(await node.info('replication'))?.[1]);
    const endsAt = performance.now() + 10_000;
    while (!(Number(/slave_repl_offset:(\d+)/.exec(await replica.info('replication'))?.[1]) >= written)) {
      expect(performance.now()).toBeLessThan(endsAt);
      await sleep(20);
    }
  }

  /** With `closed`, 503 as long as one slot has nobody to ask; and nodes that have just failed over may disagree for a moment. */
  async function untilAllCounted(holdover: Holdover): Promise<void> {
    const endsAt = performance.now() + 30_000;
    for (let counted = 0; ; ) {
      const answers = await Promise.all(
        newCallers().map((caller) => remove(holdover, { guid: 'main', user: randomUUID(), caller })),
      );
      counted = answers.every(({ status }) => status === 201) ? counted + 1 : 0;
      if (counted === ROUNDS_IN_A_ROW) return;
      expect(performance.now()).toBeLessThan(endsAt);
      await sleep(100);
    }
  }

  it('every node down, at start or later, is begun anew with the given addresses as soon as one answers', {
    timeout: 90_000,
  }, async () => {
    const cluster = await startCluster();
    for (const node of cluster.nodes) await node.kill();
    const env = { REDIS_URL: cluster.url, ORGANIZATIONS: `file:${directory}`, RATE_LIMIT_ON_FAILURE: 'closed' };
    const holdover = await startReplica(env);
    expect((await remove(holdover, { guid: 'main', user: randomUUID() })).status).toBe(503);
    // Nor does the end wait for them.
    const other = await start('node', backend, env);
    expect(await other.stop()).toBe(0);

    const bus = ['--cluster-port', `${await freePort()}`, '--cluster-announce-ip', '127.0.0.1'];
    const single = await startRedis({ port: cluster.nodes[0]?.port ?? 0, args: ['--cluster-enabled', 'yes', ...bus] });
    closers.push(() => single.stop());
    await single.client().call('CLUSTER', 'ADDSLOTSRANGE', 0, 16_383);
    await untilAllCounted(holdover);

    const before = holdover.lines.length;
    const isLost = (line: Readonly<Record<string, unknown>>) => line['message'] === 'not connected to Redis';
    await single.kill();
    await holdover.waitForLine((line) => isLost(line) && holdover.lines.indexOf(line) >= before, 20_000);
    await single.restart();
    await single.client().call('CLUSTER', 'ADDSLOTSRANGE', 0, 16_383);
    await untilAllCounted(holdover);
  });
});

describe.skipIf(!(await canOwnRedis()))('rediss:// with the certificate of a private authority', () => {
  let certificates: Certificates;
  beforeAll(() => {
    certificates = createCertificates();
  });
  afterAll(() => certificates.remove());

  async function startTlsRedis() {
    const port = await freePort();
    const { server, caPath } = certificates;
    const files = ['--tls-cert-file', server.certPath, '--tls-key-file', server.keyPath, '--tls-ca-cert-file', caPath];
    const args = ['--tls-port', `${port}`, '--tls-auth-clients', 'no', '--requirepass', 'p@ss:w/rd', ...files];
    const redis = await startRedis({ args });
    closers.push(() => redis.stop());
    return { redis, url: `rediss://:${encodeURIComponent('p@ss:w/rd')}@localhost:${port}` };
  }

  it('is trusted by NODE_EXTRA_CA_CERTS, for the directory command and for Holdover', async () => {
    const { redis, url } = await startTlsRedis();
    const trust = { NODE_EXTRA_CA_CERTS: certificates.caPath };
    await loadDirectory(url, trust);
    const holdover = await startReplica({ REDIS_URL: url, ...trust });
    const user = newMember(backend);
    const seen = await remove(holdover, { guid: 'main', user, caller: 'counted' });
    expect(seen.status).toBe(201);
    await expectTruth(holdover, backend, user, seen);
    expect(await redis.client().exists('holdover:limit:caller:"counted"')).toBe(1);
  });

  it('is refused without: the load fails, and the directory is unavailable', async () => {
    const { url } = await startTlsRedis();
    await expect(loadDirectory(url)).rejects.toThrow(/cannot be used|certificate/);
    const holdover = await startReplica({ REDIS_URL: url, NODE_EXTRA_CA_CERTS: '' });
    expect(await remove(holdover, { guid: 'main', user: randomUUID() })).toMatchObject({ status: 503, code: 10015 });
    expect(JSON.stringify(holdover.lines)).not.toContain('p@ss');
    expect(JSON.stringify(holdover.lines)).not.toContain(encodeURIComponent('p@ss'));
  });
});
