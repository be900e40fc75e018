/** What a limit is worth while Redis is not: every way it can fail, on the shared client (Node) and on one per request (Workers). */
import { setImmediate, setTimeout as sleep } from 'node:timers/promises';
import type { Redis } from 'ioredis';
import { afterEach, describe, expect, it } from 'vitest';
import { createRequestRedis, openSharedRedis } from '../../src/redis/connection.ts';
import { createRedisLimitStore } from '../../src/redis/limiter.ts';
import { monotonicMs, recordLog, recordMeter, wireLimiter } from '../support/limiter.ts';
import { canOwnRedis, type RedisServer, startRedis, startRedisCluster } from '../support/redis.ts';
import { startScriptedRedis } from '../support/scripted-redis.ts';

const TIMEOUT_MS = 500;
/** What a busy machine may add to a deadline before it counts as broken. */
const SLACK_MS = 500;
const QUOTA = { limit: 10, periodSeconds: 3600 };

type OnFailure = 'local' | 'open' | 'closed';

const closers: (() => Promise<void> | void)[] = [];
afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close();
});

async function start(args: string[] = []): Promise<RedisServer> {
  const server = await startRedis({ own: true, args });
  closers.push(() => server.stop());
  return server;
}

/** A limiter on the client that Node uses. */
async function wire(urls: string[], onFailure: OnFailure = 'local', quota = QUOTA) {
  const [log, connectionLog, meter] = [recordLog(), recordLog(), recordMeter()];
  const redis = openSharedRedis({ urls, timeoutMs: TIMEOUT_MS, log: connectionLog });
  closers.push(() => redis.close());
  await redis.attempted;
  return {
    ...wireLimiter(redis.client, quota, TIMEOUT_MS, { onFailure, log, meter }),
    redis,
    log,
    connectionLog,
    meter,
  };
}

type Wired = Awaited<ReturnType<typeof wire>>;

/** Asks until Redis decides again; the breaker lets one request through each second. */
async function untilRedisDecides(limiter: Wired, name = 'probe'): Promise<void> {
  for (let tries = 0; tries < 100; tries += 1) {
    await limiter.take(`${name}:${tries}`);
    if (limiter.meter.modes.at(-1) === 'redis') return;
    await sleep(50);
  }
  throw new Error(`Redis never decided again: ${limiter.log.debugLines.at(-1)}`);
}

async function timed<Value>(work: Promise<Value>): Promise<{ value: Value; ms: number }> {
  const startedMs = performance.now();
  const value = await work;
  return { value, ms: performance.now() - startedMs };
}

/** What each mode makes of a decision that Redis did not make. */
const INSTEAD = {
  local: { ok: true, value: { isAllowed: true, limit: 10, remaining: 9 } },
  open: { ok: true, value: undefined },
  closed: { ok: false, failure: { kind: 'unavailable', dependency: 'redis' } },
} as const;
const MODES = ['local', 'open', 'closed'] as const;

describe.skipIf(!(await canOwnRedis()))('the shared client', () => {
  it.each(MODES)('%s: Redis down at start is no start error, and it counts as soon as it is up', async (mode) => {
    const server = await start();
    await server.kill();
    const limiter = await wire([server.url], mode);
    const { value, ms } = await timed(limiter.take('a'));
    expect(value).toMatchObject(INSTEAD[mode]);
    expect(ms).toBeLessThan(TIMEOUT_MS + SLACK_MS);
    await server.restart();
    await untilRedisDecides(limiter);
    expect(await server.client().keys('holdover:limit:*')).toHaveLength(1);
    expect(limiter.connectionLog.lines.map((line) => line.split(' {')[0])).toEqual([
      'warn not connected to Redis',
      'info connected to Redis',
    ]);
  });

  it.each(MODES)('%s: killed under way, then back, without a restart of ours', async (mode) => {
    const server = await start();
    const limiter = await wire([server.url], mode);
    expect(await limiter.take('a')).toMatchObject({ value: { isAllowed: true, remaining: 9 } });
    await server.kill();
    expect(await limiter.take('b')).toMatchObject(INSTEAD[mode]);
    await server.restart();
    await untilRedisDecides(limiter);
  });

  it.each(MODES)('%s: frozen, a decision takes no longer than REDIS_TIMEOUT_MS', async (mode) => {
    const server = await start();
    const limiter = await wire([server.url], mode);
    await limiter.take('warm');
    server.freeze();
    const answers = await Promise.all(Array.from({ length: 50 }, (_, i) => timed(limiter.take(`${i}`))));
    for (const { value, ms } of answers) {
      expect(value).toMatchObject(INSTEAD[mode]);
      expect(ms).toBeLessThan(TIMEOUT_MS + SLACK_MS);
    }
    server.thaw();
    await untilRedisDecides(limiter);
  });

  it('frozen before we connect: no decision waits, and thawed it counts', async () => {
    const server = await start();
    server.freeze();
    const limiter = await wire([server.url]);
    const { value, ms } = await timed(limiter.take('a'));
    expect(value).toMatchObject(INSTEAD.local);
    expect(ms).toBeLessThan(TIMEOUT_MS + SLACK_MS);
    server.thaw();
    await untilRedisDecides(limiter);
  });

  it('an outage costs next to nothing: a thousand requests ask a frozen Redis three times', async () => {
    const server = await start();
    const limiter = await wire([server.url], 'open');
    await limiter.take('warm');
    server.freeze();
    for (let i = 0; i < 3; i += 1) await limiter.take(`${i}`);
    const { asked } = limiter.store;
    const { ms } = await timed(
      (async () => {
        for (let i = 0; i < 1000; i += 1) await limiter.take(`${i}`);
      })(),
    );
    // One probe a second is allowed for.
    expect(limiter.store.asked - asked).toBeLessThanOrEqual(1 + Math.floor(ms / 1000));
    server.thaw();
  });

  it('one line when it goes, one when it is back', async () => {
    const server = await start();
    const limiter = await wire([server.url]);
    await limiter.take('warm');
    await server.kill();
    for (let i = 0; i < 30; i += 1) {
      await limiter.take(`${i}`);
      await sleep(50);
    }
    await server.restart();
    await untilRedisDecides(limiter);
    expect(limiter.log.lines.map((line) => line.split(' {')[0])).toEqual([
      'warn Redis decides no rate limits',
      'info Redis decides rate limits again',
    ]);
    expect(limiter.connectionLog.lines.map((line) => line.split(' {')[0])).toEqual([
      'info connected to Redis',
      'warn not connected to Redis',
      'info connected to Redis',
    ]);
  });

  it.each([
    ['is a replica (READONLY)', ['REPLICAOF', '127.0.0.1', '1'], ['REPLICAOF', 'NO', 'ONE']],
    [
      'lacks replicas (NOREPLICAS)',
      ['CONFIG', 'SET', 'min-replicas-to-write', '1'],
      ['CONFIG', 'SET', 'min-replicas-to-write', '0'],
    ],
    ['is full (OOM)', ['CONFIG', 'SET', 'maxmemory', '1'], ['CONFIG', 'SET', 'maxmemory', '0']],
  ])(
    'a Redis that %s decides nothing, and decides again when it is well',
    async (_what, [fall = '', ...fallArgs], rise) => {
      const [recover = '', ...recoverArgs] = rise;
      const server = await start();
      const control = server.client();
      const limiters = await Promise.all(
        MODES.map(async (mode) => ({ mode, limiter: await wire([server.url], mode) })),
      );
      await control.call(fall, ...fallArgs);
      for (const { mode, limiter } of limiters) expect(await limiter.take('a')).toMatchObject(INSTEAD[mode]);
      await control.call(recover, ...recoverArgs);
      for (const { limiter } of limiters) await untilRedisDecides(limiter);
    },
  );

  it.each([
    ['missing', (port: number) => `redis://127.0.0.1:${port}`, 'NOAUTH'],
    ['wrong', (port: number) => `redis://:canary-wr0ng@127.0.0.1:${port}`, 'WRONGPASS'],
  ])('a password that is %s is said once, and never shown', async (_what, toUrl, reason) => {
    const server = await start(['--requirepass', 'canary-right']);
    const limiter = await wire([toUrl(server.port)]);
    for (let i = 0; i < 10; i += 1) {
      expect(await limiter.take(`${i}`)).toMatchObject(INSTEAD.local);
      await sleep(100);
    }
    const lines = [...limiter.connectionLog.lines, ...limiter.log.lines, ...limiter.log.debugLines];
    expect(limiter.connectionLog.lines).toEqual([expect.stringContaining(reason)]);
    expect(lines.join('\n')).not.toContain('canary');
  });

  it('a right password is not shown either', async () => {
    const server = await start(['--requirepass', 'canary-right']);
    const limiter = await wire([server.url]);
    await limiter.take('a');
    expect(limiter.meter.modes).toEqual(['redis']);
    expect(limiter.connectionLog.lines.join('\n')).not.toContain('canary');
  });

  it('scripts flushed, or a server restarted without them: still exactly N', async () => {
    const server = await start();
    const limiter = await wire([server.url]);
    const allowed = async (times: number) => {
      const answers = await Promise.all(Array.from({ length: times }, () => limiter.take('a')));
      return answers.filter((answer) => answer.ok && answer.value?.isAllowed).length;
    };
    expect(await allowed(4)).toBe(4);
    await server.client().script('FLUSH');
    expect(await allowed(46)).toBe(6);
    expect(limiter.log.debugLines).toEqual([]);
  });

  it('a command fails at once while there is no connection: nothing waits for Redis to come back', async () => {
    const server = await start();
    const { redis } = await wire([server.url]);
    await server.kill();
    await expect.poll(() => redis.client.status).not.toBe('ready');
    const failed = redis.client.get('a').then(
      () => 'answered',
      () => 'failed',
    );
    expect(await Promise.race([failed, setImmediate('waits')])).toBe('failed');
  });

  it('names that UTF-8 would make equal are two callers in Redis as well', async () => {
    const server = await start();
    const limiter = await wire([server.url]);
    for (let i = 0; i < 11; i += 1) await limiter.take('\ud800');
    expect(await limiter.take('\ud801')).toMatchObject({ value: { isAllowed: true, remaining: 9 } });
    expect(await server.client().keys('*')).toHaveLength(2);
  });

  it('late answers of a thawed Redis are not taken for those of later commands', async () => {
    const server = await start();
    const { redis } = await wire([server.url]);
    await redis.client.mset('a', 'A', 'b', 'B');
    for (const frozenMs of [1.5 * TIMEOUT_MS, 4 * TIMEOUT_MS]) {
      server.freeze();
      await expect(redis.client.get('a')).rejects.toThrow();
      await sleep(frozenMs - TIMEOUT_MS);
      server.thaw();
      for (let tries = 0; tries < 100; tries += 1) {
        const answer = await redis.client.get('b').catch(() => undefined);
        if (answer !== undefined) expect(answer).toBe('B');
        if (answer !== undefined && tries > 10) break;
        await sleep(20);
      }
      expect(await redis.client.mget('a', 'b')).toEqual(['A', 'B']);
    }
  });

  it('close waits for what is under way, and leaves no connection', async () => {
    const server = await start();
    const redis = openSharedRedis({ urls: [server.url], timeoutMs: TIMEOUT_MS, log: recordLog() });
    await redis.attempted;
    const writing = redis.client.set('a', '1');
    await redis.close();
    expect(await writing).toBe('OK');
    const control = server.client();
    await expect.poll(() => connectionsOf(control)).toBe(1);
  });

  it('close does not wait for a Redis that is gone', async () => {
    const server = await start();
    const limiter = await wire([server.url]);
    await server.kill();
    expect((await timed(limiter.redis.close())).ms).toBeLessThan(TIMEOUT_MS + SLACK_MS);
  });
});

describe('a Redis that answers wrongly', () => {
  const INFO = `$${'redis_version:7.0.0\r\nloading:0'.length}\r\nredis_version:7.0.0\r\nloading:0\r\n`;

  it.each([
    ['-LOADING Redis is loading the dataset in memory\r\n'],
    ['-MOVED 3999 127.0.0.1:6381\r\n'],
    ['-ASK 3999 127.0.0.1:6381\r\n'],
    ['-CLUSTERDOWN Hash slot not served\r\n'],
    ['-NOAUTH Authentication required.\r\n'],
    ["-NOPERM this user has no permissions to run the 'evalsha' command\r\n"],
    ['-OOM command not allowed when used memory > maxmemory\r\n'],
    ['-MISCONF Redis is configured to save RDB snapshots\r\n'],
    ['-BUSY Redis is busy running a script.\r\n'],
    ['-WRONGTYPE Operation against a key holding the wrong kind of value\r\n'],
    ['-ERR max number of clients reached\r\n'],
    ['+OK\r\n'],
    [':1\r\n'],
    ['$-1\r\n'],
    ['*0\r\n'],
    ['*3\r\n:1\r\n:2\r\n$-1\r\n'],
    ['*3\r\n:2\r\n:5\r\n:5\r\n'],
    ['*3\r\n:1\r\n+x\r\n:5\r\n'],
    ['HTTP/1.1 400 Bad Request\r\n\r\n'],
    ['\u0000\u0001\u0002\r\n'],
  ])('%j: decides nothing, in any mode', async (wrong) => {
    const server = await startScriptedRedis((command) => (command === 'info' ? INFO : wrong));
    closers.push(() => server.stop());
    for (const mode of MODES) {
      const limiter = await wire([server.url], mode);
      const { value, ms } = await timed(limiter.take('a'));
      expect(value).toMatchObject(INSTEAD[mode]);
      expect(ms).toBeLessThan(TIMEOUT_MS + SLACK_MS);
      expect(limiter.meter.modes).toEqual([mode]);
    }
    expect(server.commands.filter((command) => command === 'evalsha')).toHaveLength(MODES.length);
    expect(server.commands).not.toContain('eval');
  });

  it('NOSCRIPT is the one answer after which the script is sent, within the same deadline', async () => {
    const timeoutMs = 1500;
    const server = await startScriptedRedis((command, socket) => {
      if (command === 'info') return INFO;
      if (command === 'evalsha') setTimeout(() => socket.write('-NOSCRIPT No matching script.\r\n'), 1000);
      return undefined;
    });
    closers.push(() => server.stop());
    const redis = openSharedRedis({ urls: [server.url], timeoutMs, log: recordLog() });
    closers.push(() => redis.close());
    await redis.attempted;
    const taken = createRedisLimitStore(redis.client, { timeoutMs, monotonicMs, isShared: true }).take('k', QUOTA);
    const { value, ms } = await timed(taken.catch((error: Error) => error));
    expect(value).toBeInstanceOf(Error);
    expect(ms).toBeLessThan(timeoutMs + SLACK_MS);
    expect(server.commands.filter((command) => command.startsWith('eval'))).toEqual(['evalsha', 'eval']);
  });

  it('a NOSCRIPT that comes after the deadline is not followed up', async () => {
    const server = await startScriptedRedis((command) =>
      command === 'info' ? INFO : '-NOSCRIPT No matching script.\r\n',
    );
    closers.push(() => server.stop());
    const { redis } = await wire([server.url]);
    let ms = 0;
    const jumping = { timeoutMs: TIMEOUT_MS, monotonicMs: () => (ms += TIMEOUT_MS), isShared: true };
    await expect(createRedisLimitStore(redis.client, jumping).take('k', QUOTA)).rejects.toThrow('too late');
    expect(server.commands).not.toContain('eval');
  });

  it('a connection cut between command and answer: nothing is asked twice, since the unit may be taken', async () => {
    const server = await startScriptedRedis((command, socket) => {
      if (command === 'info') return INFO;
      socket.destroy();
      return undefined;
    });
    closers.push(() => server.stop());
    const limiter = await wire([server.url], 'open');
    await Promise.all(Array.from({ length: 20 }, (_, i) => limiter.take(`${i}`)));
    await expect.poll(() => server.commands.filter((command) => command === 'info').length).toBeGreaterThan(1);
    await sleep(100);
    expect(server.commands.filter((command) => command === 'evalsha').length).toBeGreaterThan(0);
    expect(server.commands.filter((command) => command === 'evalsha').length).toBeLessThanOrEqual(limiter.store.asked);
    expect(server.commands).not.toContain('eval');
  });

  it('a connection that has gone silent is replaced, although it was never closed', async () => {
    let connections = 0;
    const server = await startScriptedRedis((command) => {
      if (command !== 'info') return connections > 1 ? '*3\r\n:1\r\n:5\r\n:5\r\n' : undefined;
      connections += 1;
      return INFO;
    });
    closers.push(() => server.stop());
    const limiter = await wire([server.url]);
    expect(await limiter.take('a')).toMatchObject(INSTEAD.local);
    await untilRedisDecides(limiter);
    expect(server.connections()).toBe(2);
  });

  it('READONLY leads to a new connection, which may reach the new primary, and to no second command', async () => {
    let connections = 0;
    const server = await startScriptedRedis((command) => {
      if (command !== 'info') return connections > 1 ? '*3\r\n:1\r\n:5\r\n:5\r\n' : '-READONLY replica\r\n';
      connections += 1;
      return INFO;
    });
    closers.push(() => server.stop());
    const limiter = await wire([server.url]);
    expect(await limiter.take('a')).toMatchObject(INSTEAD.local);
    await expect.poll(() => server.connections()).toBe(2);
    expect(server.commands.filter((command) => command === 'evalsha')).toHaveLength(1);
    await untilRedisDecides(limiter);
  });

  it('open breaker: no command and no connection more', async () => {
    const server = await startScriptedRedis((command) => (command === 'info' ? INFO : '-OOM full\r\n'));
    closers.push(() => server.stop());
    const limiter = await wire([server.url], 'open');
    for (let i = 0; i < 3; i += 1) await limiter.take('a');
    const before = [server.commands.length, server.connections()];
    const startedMs = performance.now();
    for (let i = 0; i < 500 && performance.now() - startedMs < 900; i += 1) await limiter.take('a');
    expect([server.commands.length, server.connections()]).toEqual(before);
  });
});

describe.skipIf(!(await canOwnRedis()))('a client of one request', () => {
  const openOne = (url: string, timeoutMs = TIMEOUT_MS) => {
    const redis = createRequestRedis({ url, timeoutMs });
    closers.push(() => redis.disconnect());
    return { redis, store: createRedisLimitStore(redis, { timeoutMs, monotonicMs }) };
  };

  it('opens no connection until a decision needs one, and leaves none', async () => {
    const server = await start();
    const control = server.client();
    const { redis, store } = openOne(server.url);
    await sleep(50);
    expect(await connectionsOf(control)).toBe(1);
    await store.take('k', QUOTA);
    expect(await connectionsOf(control)).toBe(2);
    redis.disconnect();
    await expect.poll(() => connectionsOf(control)).toBe(1);
  });

  it('that was never used is closed without a connection', async () => {
    const server = await startScriptedRedis(() => undefined);
    closers.push(() => server.stop());
    openOne(server.url).redis.disconnect();
    await sleep(20);
    expect(server.connections()).toBe(0);
  });

  it('sends one command and nothing before it', async () => {
    const server = await startScriptedRedis(() => '*3\r\n:1\r\n:5\r\n:5\r\n');
    closers.push(() => server.stop());
    await openOne(server.url).store.take('k', QUOTA);
    expect(server.commands).toEqual(['evalsha']);
  });

  it('shares the quota with every other, exactly', async () => {
    const server = await start();
    const answers = await Promise.all(
      Array.from({ length: 50 }, async () => {
        const { redis, store } = openOne(server.url, 10_000);
        const { isAllowed } = await store.take('k', QUOTA);
        redis.disconnect();
        return isAllowed;
      }),
    );
    expect(answers.filter(Boolean)).toHaveLength(QUOTA.limit);
  });

  it.each([
    ['refuses', async (server: RedisServer) => server.kill()],
    ['is frozen', async (server: RedisServer) => server.freeze()],
  ])('rejects within REDIS_TIMEOUT_MS, connecting included, where Redis %s', async (_what, fault) => {
    const server = await start();
    await fault(server);
    const { store } = openOne(server.url);
    const { value, ms } = await timed(store.take('k', QUOTA).catch((error: Error) => error));
    expect(value).toBeInstanceOf(Error);
    expect(ms).toBeLessThan(TIMEOUT_MS + SLACK_MS);
  });

  it('rejects within REDIS_TIMEOUT_MS where the address does not answer at all', async () => {
    // RFC 5737 documentation addresses lead nowhere; a machine without a route refuses them at once.
    const { store } = openOne('redis://192.0.2.1:6379');
    const { value, ms } = await timed(store.take('k', QUOTA).catch((error: Error) => error));
    expect(value).toBeInstanceOf(Error);
    expect(ms).toBeLessThan(TIMEOUT_MS + SLACK_MS);
  });
});

describe.skipIf(!(await canOwnRedis()))('a Cluster', () => {
  it('counts exactly over keys of every node, and with one node gone decides for the others and fails fast for its own', async () => {
    const cluster = await startRedisCluster(3);
    closers.push(() => cluster.stop());
    const limiter = await wire(cluster.url.split(','), 'open');
    const names = Array.from({ length: 60 }, (_, i) => `user-${i}`);
    const allowed = names.map(() => 0);
    for (let round = 0; round < 15; round += 1) {
      const answers = await Promise.all(names.map((name) => limiter.take(name)));
      for (const [i, answer] of answers.entries())
        if (answer.ok && answer.value?.isAllowed) allowed[i] = (allowed[i] ?? 0) + 1;
    }
    expect(allowed).toEqual(names.map(() => QUOTA.limit));
    expect(new Set(limiter.meter.modes)).toEqual(new Set(['redis']));
    const perNode = await Promise.all(cluster.nodes.map((node) => node.client().dbsize()));
    for (const keys of perNode) expect(keys).toBeGreaterThan(0);

    await cluster.nodes[0]?.kill();
    const store = createRedisLimitStore(limiter.redis.client, { timeoutMs: TIMEOUT_MS, monotonicMs });
    const outcomes = await Promise.all(
      names.map((name) =>
        timed(
          store.take(`after:${name}`, QUOTA).then(
            () => 'decided',
            () => 'failed',
          ),
        ),
      ),
    );
    for (const { ms } of outcomes) expect(ms).toBeLessThan(TIMEOUT_MS + SLACK_MS);
    expect(new Set(outcomes.map(({ value }) => value))).toContain('failed');
    expect(new Set(outcomes.map(({ value }) => value))).toContain('decided');
    // What belongs to the dead node is not sent round the others, to be told so.
    for (const node of cluster.nodes.slice(1)) expect(await node.client().info('errorstats')).not.toContain('MOVED');
  });

  it('finds the slots of a dead node where another one has taken them over', async () => {
    const cluster = await startRedisCluster(3);
    closers.push(() => cluster.stop());
    const limiter = await wire(cluster.url.split(','), 'open');
    const [dead, ...alive] = cluster.nodes;
    // The first node has slots 0 to 5461; this name lies in slot 0.
    const name = '{3560}';
    expect(await dead?.client().cluster('KEYSLOT', `holdover:limit:caller:"${name}"`)).toBe(0);
    await limiter.take(name);
    expect(limiter.meter.modes).toEqual(['redis']);
    await dead?.kill();
    for (const node of alive) await node.client().call('CLUSTER', 'DELSLOTSRANGE', 0, 5461);
    await alive[0]?.client().call('CLUSTER', 'ADDSLOTSRANGE', 0, 5461);
    for (
      let tries = 0;
      tries < 150 && (await limiter.redis.client.get(name).catch(() => 'failed')) !== null;
      tries += 1
    ) {
      await sleep(100);
    }
    await untilRedisDecides(limiter);
    expect(await limiter.redis.client.get(name)).toBeNull();
  });

  it('is reached by other names than its nodes give themselves', async () => {
    const cluster = await startRedisCluster(3);
    closers.push(() => cluster.stop());
    const limiter = await wire(cluster.url.replaceAll('127.0.0.1', 'localhost').split(','));
    for (let i = 0; i < 12; i += 1) await limiter.take(`${i}`);
    expect(new Set(limiter.meter.modes)).toEqual(new Set(['redis']));
  });

  it('that refuses at start is no start error, and counts as soon as it is up', async () => {
    const first = await startRedisCluster(3);
    const [ports, urls] = [first.nodes.map(({ port }) => port), first.url.split(',')];
    await first.stop();
    const limiter = await wire(urls);
    const { value, ms } = await timed(limiter.take('a'));
    expect(value).toMatchObject(INSTEAD.local);
    expect(ms).toBeLessThan(TIMEOUT_MS + SLACK_MS);
    const second = await startRedisCluster(3, ports);
    closers.push(() => second.stop());
    await untilRedisDecides(limiter);
  });

  it('that is frozen at start is no start error, and counts as soon as it is thawed', async () => {
    const cluster = await startRedisCluster(3);
    closers.push(() => cluster.stop());
    for (const node of cluster.nodes) node.freeze();
    const limiter = await wire(cluster.url.split(','));
    const { value, ms } = await timed(limiter.take('a'));
    expect(value).toMatchObject(INSTEAD.local);
    expect(ms).toBeLessThan(TIMEOUT_MS + SLACK_MS);
    for (const node of cluster.nodes) node.thaw();
    await untilRedisDecides(limiter);
  });

  it('frozen under way: no decision waits longer than REDIS_TIMEOUT_MS, and thawed it counts', async () => {
    const cluster = await startRedisCluster(3);
    closers.push(() => cluster.stop());
    const limiter = await wire(cluster.url.split(','), 'closed');
    await limiter.take('a');
    for (const node of cluster.nodes) node.freeze();
    const answers = await Promise.all(Array.from({ length: 20 }, (_, i) => timed(limiter.take(`${i}`))));
    for (const { value, ms } of answers) {
      expect(value).toMatchObject(INSTEAD.closed);
      expect(ms).toBeLessThan(TIMEOUT_MS + SLACK_MS);
    }
    for (const node of cluster.nodes) node.thaw();
    await untilRedisDecides(limiter);
  });
});

async function connectionsOf(control: Redis): Promise<number> {
  const list = String(await control.client('LIST'));
  return list.trim().split('\n').length;
}
