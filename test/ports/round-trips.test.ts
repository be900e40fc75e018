/** What one removal asks of Redis, as Redis counts it, of what ships on Node. */
import { randomUUID } from 'node:crypto';
import type { Redis } from 'ioredis';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { newMember, remove, start, toDirectory } from '../fault/rig.ts';
import type { Holdover } from '../support/holdover.ts';
import { loadDirectory } from '../support/load-directory.ts';
import { type MemberBackend, startMemberBackend } from '../support/member-backend.ts';
import { canOwnRedis, type RedisServer, startRedis } from '../support/redis.ts';

describe.skipIf(!(await canOwnRedis()))('round trips to Redis, once the organization is cached', () => {
  let redis: RedisServer;
  let control: Redis;
  let backend: MemberBackend;
  beforeAll(async () => {
    redis = await startRedis({ own: true });
    control = redis.client();
    await loadDirectory(redis.url, toDirectory(['main']));
    backend = await startMemberBackend(['main']);
  });
  afterAll(async () => {
    await backend.close();
    await redis.stop();
  });

  const startOne = (env: Readonly<Record<string, string>>) =>
    start('node', backend, { REDIS_URL: redis.url, ORGANIZATION_CACHE_SECONDS: '3600', ...env });

  /** Limit decisions and directory look-ups while one caller removes `count` users, one after the other. */
  async function countWhile(holdover: Holdover, caller: string, count: number) {
    await control.config('RESETSTAT');
    const statuses: number[] = [];
    for (let done = 0; done < count; done += 1) {
      statuses.push((await remove(holdover, { guid: 'main', user: newMember(backend), caller })).status);
    }
    const stats = await control.info('commandstats');
    const callsOf = (command: string) => Number(new RegExp(`cmdstat_${command}:calls=(\\d+)`).exec(stats)?.[1] ?? 0);
    return { statuses, limits: callsOf('evalsha'), lookUps: callsOf('hget') + callsOf('hgetall') };
  }

  it.each([
    ['one', {}, 10],
    ['two with a limit of the organization', { RATE_LIMIT_ORGANIZATION: '1000/1h' }, 20],
  ])('%s for each removal of a user never seen before', async (_what, env, limits) => {
    const holdover = await startOne(env);
    await remove(holdover, { guid: 'main', user: newMember(backend) });
    const statuses = Array.from({ length: 10 }, () => 201);
    expect(await countWhile(holdover, randomUUID(), 10)).toEqual({ statuses, limits, lookUps: 0 });
    await holdover.stop();
  });

  it('none for a caller who was refused a moment ago', async () => {
    const holdover = await startOne({ RATE_LIMIT: '1/1h' });
    const caller = randomUUID();
    expect((await countWhile(holdover, caller, 2)).statuses).toEqual([201, 429]);
    expect(await countWhile(holdover, caller, 3)).toEqual({ statuses: [429, 429, 429], limits: 0, lookUps: 0 });
    await holdover.stop();
  });
});
