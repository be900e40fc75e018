/** A Redis that is frozen, killed or refuses every command: what a client sees of it is the same on workerd as on Node. */
import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, it, onTestFinished } from 'vitest';
import { type Runtime, startHoldover } from '../support/holdover.ts';
import { canOwnRedis, type RedisServer } from '../support/redis.ts';
import { type Answer, BARE_GUID, openClient, openSurroundings, toRemovalPath } from '../support/surroundings.ts';

const RUNTIMES: readonly Runtime[] = ['node', 'workerd'];

const TIMEOUT_MS = 300;
/** Limiter and directory may each wait that long before they do without; and a busy machine adds to it. */
const LONGEST_MS = 2 * TIMEOUT_MS + 1_000;

const OUTAGES: Readonly<Record<string, (redis: RedisServer) => unknown>> = {
  frozen: (redis) => redis.freeze(),
  killed: (redis) => redis.kill(),
  async 'refusing every command'(redis) {
    const client = redis.client();
    await client.config('SET', 'requirepass', 'one that nobody knows');
    // Connections that stand were let in before.
    await client.call('CLIENT', 'KILL', 'TYPE', 'normal');
  },
};

/** What an outage leaves of a removal, by whether the organization had been asked for before. */
const EXPECTED = {
  local: { known: 201, unknown: 503, limit: '50' },
  open: { known: 201, unknown: 503, limit: undefined },
  closed: { known: 503, unknown: 503, limit: undefined },
} as const;

/** Enough for breakers to open. */
const REQUESTS = 6;

describe.skipIf(!(await canOwnRedis()))('while Redis is', () => {
  describe.each(Object.keys(OUTAGES))('%s', (outage) => {
    it.each(['local', 'open', 'closed'] as const)('RATE_LIMIT_ON_FAILURE=%s means the same', async (mode) => {
      const [onNode, onWorkerd] = await Promise.all(RUNTIMES.map((runtime) => observe(runtime, outage, mode)));
      expect(onWorkerd).toEqual(onNode);
      const { known, unknown, limit } = EXPECTED[mode];
      expect(onWorkerd?.map(({ status }) => status)).toEqual([
        ...Array.from({ length: REQUESTS }, () => known),
        ...Array.from({ length: REQUESTS }, () => unknown),
      ]);
      for (const { status, code, headers } of onWorkerd ?? []) {
        if (status === 503) expect(code).toBe(10015);
        expect(headers['x-ratelimit-limit']).toBe(limit);
      }
    });
  });
});

describe.skipIf(!(await canOwnRedis()))('when Redis is back', () => {
  it('workerd asks it again', async () => {
    const around = await openSurroundings();
    onTestFinished(() => around.close());
    const holdover = await startHoldover('workerd', {
      ...around.env,
      RATE_LIMIT_ON_FAILURE: 'open',
      REDIS_TIMEOUT_MS: `${TIMEOUT_MS}`,
    });
    const client = openClient(holdover.url);
    onTestFinished(async () => {
      client.close();
      await holdover.stop();
    });
    const remove = () => client.send({ path: toRemovalPath(BARE_GUID) });
    around.redis.freeze();
    for (let request = 0; request < REQUESTS; request += 1) expect((await remove()).status).toBe(503);
    around.redis.thaw();
    let answer = await remove();
    const isServed = () => answer.status === 201 && 'x-ratelimit-limit' in answer.headers;
    for (let tries = 0; tries < 50 && !isServed(); tries += 1) {
      await sleep(100);
      answer = await remove();
    }
    expect(answer).toMatchObject({ status: 201, headers: { 'x-ratelimit-limit': '2000' } });
  });
});

/** A known organization's removals, then an unknown one's, in an outage that began after one removal went well. */
async function observe(runtime: Runtime, outage: string, mode: string): Promise<Answer[]> {
  const around = await openSurroundings();
  const holdover = await startHoldover(runtime, {
    ...around.env,
    RATE_LIMIT: '50/1h',
    RATE_LIMIT_ON_FAILURE: mode,
    REDIS_TIMEOUT_MS: `${TIMEOUT_MS}`,
  });
  const client = openClient(holdover.url);
  try {
    expect((await client.send()).status).toBe(201);
    await OUTAGES[outage]?.(around.redis);
    const answers: Answer[] = [];
    for (let request = 0; request < 2 * REQUESTS; request += 1) {
      const sentAt = performance.now();
      const answer = await client.send(request < REQUESTS ? {} : { path: toRemovalPath(BARE_GUID) });
      expect(performance.now() - sentAt, `request ${request + 1} on ${runtime}`).toBeLessThan(LONGEST_MS);
      answers.push({ ...answer, headers: toComparable(answer.headers) });
    }
    return answers;
  } finally {
    client.close();
    await holdover.stop();
    await around.close();
  }
}

/** Without what belongs to the connection, the moment or the one request. */
function toComparable({ ...headers }: Answer['headers']): Answer['headers'] {
  for (const name of ['connection', 'date', 'keep-alive', 'x-vcap-request-id', 'x-ratelimit-reset']) {
    delete (headers as Record<string, string>)[name];
  }
  return headers;
}
