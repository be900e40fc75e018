/** The audit trail: what its lines say, when they are written, and that their copy in Redis is nobody's problem. */
import { once } from 'node:events';
import { type AddressInfo, createServer } from 'node:net';
import type { Redis } from 'ioredis';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { RemovalOutcome } from '../../src/backend/client.ts';
import type { Audit, AuditEntry } from '../../src/pipeline.ts';
import { createRequestRedis } from '../../src/redis/connection.ts';
import type { Scope } from '../../src/scope.ts';
import { createAudit } from '../../src/telemetry/audit.ts';
import type { Log } from '../../src/telemetry/log.ts';
import { NO_METER } from '../../src/telemetry/meter.ts';
import { type RedisServer, startRedis } from '../support/redis.ts';

const ENTRY: AuditEntry = {
  requestId: 'vcap::7d0f',
  caller: 'uaa-id-110',
  clientId: 'cf',
  organization: 'org-guid',
  user: 'uaa-id-111',
  backendUser: '4fa4b8a0-0000-4000-8000-000000000001',
  ip: '203.0.113.9',
};

const REMOVED: RemovalOutcome = { outcome: 'removed', backendStatus: 204, backendRequestId: 'b-1', tries: 1 };

const AT = '2014-11-24T19:32:37.000Z';

const COMMON = {
  at: AT,
  request_id: 'vcap::7d0f',
  caller: 'uaa-id-110',
  client_id: 'cf',
  organization: 'org-guid',
  user: 'uaa-id-111',
  backend_user: '4fa4b8a0-0000-4000-8000-000000000001',
  ip: '203.0.113.9',
};

/** An audit whose scope keeps count of all that is left under way. */
function setUp(redis?: () => Redis, writeLine?: (line: string) => void | Promise<void>) {
  const lines: string[] = [];
  const said: string[] = [];
  const work: Promise<unknown>[] = [];
  const counts = { failed: 0 };
  const auditCopyFailed = () => {
    counts.failed += 1;
  };
  const say = (message: string) => void said.push(message);
  const log: Log = { debug: say, info: say, warn: say, error: say };
  const scope: Scope = {
    waitUntil: (promise) => void work.push(promise),
    redis: redis ?? (() => expect.unreachable('REDIS_URL is not set')),
    followerWaitMs: Infinity,
  };
  const audit = createAudit({
    writeLine: writeLine ?? ((line) => void lines.push(line)),
    nowMs: () => Date.parse(AT),
    hasCopy: redis !== undefined,
    log,
    meter: { ...NO_METER, auditCopyFailed },
  })(scope);
  return { audit, lines, said, counts, copies: () => Promise.all(work) };
}

async function writeBoth(audit: Audit, entry: AuditEntry = ENTRY, outcome: RemovalOutcome = REMOVED): Promise<void> {
  const writeOutcome = await audit.intent(entry);
  await writeOutcome(outcome);
}

describe('the lines', () => {
  it('say who asked for whose removal, before, and how it ended, after', async () => {
    const { audit, lines } = setUp();
    await writeBoth(audit);
    expect(lines.map((line) => JSON.parse(line))).toEqual([
      { audit: 'intent', ...COMMON },
      {
        audit: 'outcome',
        ...COMMON,
        outcome: 'removed',
        backend_status: 204,
        backend_request_id: 'b-1',
        tries: 1,
      },
    ]);
  });

  it('have null, not a hole, for what nobody knows', async () => {
    const { audit, lines } = setUp();
    const trace = { backendStatus: undefined, backendRequestId: undefined, tries: 3 };
    const unknown: RemovalOutcome = { outcome: 'unknown', reason: 'unavailable', detail: 'reset', ...trace };
    await writeBoth(audit, { ...ENTRY, clientId: undefined }, unknown);
    expect(JSON.parse(lines[1] ?? '')).toEqual({
      audit: 'outcome',
      ...COMMON,
      client_id: null,
      outcome: 'unknown',
      backend_status: null,
      backend_request_id: null,
      tries: 3,
    });
  });

  it('stay one line each, whatever an id holds', async () => {
    const { audit, lines } = setUp();
    await audit.intent({ ...ENTRY, caller: 'a\n{"audit":"outcome"}\r\u2028', user: '"},' });
    expect(lines[0]).not.toMatch(/[\r\n]/);
    expect(JSON.parse(lines[0] ?? '')).toMatchObject({ caller: 'a\n{"audit":"outcome"}\r\u2028', user: '"},' });
  });

  it('stop a removal where the intent cannot be written', async () => {
    const { audit } = setUp(undefined, () => {
      throw new Error('EPIPE');
    });
    await expect(audit.intent(ENTRY)).rejects.toThrow('EPIPE');
  });

  it('are written, not only handed over, when anything goes on', async () => {
    const steps: string[] = [];
    const { audit } = setUp(undefined, async (line) => {
      await new Promise(setImmediate);
      steps.push(JSON.parse(line).audit);
    });
    const writeOutcome = await audit.intent(ENTRY);
    steps.push('removal');
    await writeOutcome(REMOVED);
    steps.push('answer');
    expect(steps).toEqual(['intent', 'removal', 'outcome', 'answer']);
  });

  it('stop a removal where the intent is lost on its way', async () => {
    const { audit } = setUp(undefined, () => Promise.reject(new Error('EPIPE')));
    await expect(audit.intent(ENTRY)).rejects.toThrow('EPIPE');
  });

  it('cost a client nothing where the outcome cannot be written', async () => {
    const { audit, said } = setUp(undefined, (line) => {
      if (line.includes('"outcome"')) throw new Error('EPIPE');
    });
    await writeBoth(audit);
    expect(said).toEqual(['an audit line was not written']);
  });
});

describe('the copy in Redis', () => {
  let server: RedisServer;
  const clients: Redis[] = [];
  beforeAll(async () => {
    server = await startRedis();
  });
  beforeEach(() => server.client().del('holdover:audit'));
  afterEach(() => {
    for (const client of clients.splice(0)) client.disconnect();
  });
  afterAll(() => server.stop());

  function connectTo(url: string): Redis {
    const client = createRequestRedis({ url, timeoutMs: 500 });
    clients.push(client);
    return client;
  }

  it('has both lines of a removal as they were written, in order', async () => {
    const client = connectTo(server.url);
    const { audit, lines, said, counts, copies } = setUp(() => client);
    await writeBoth(audit, { ...ENTRY, user: 'é→😀a\u009b\u2028b' });
    expect(lines).toHaveLength(2);
    expect(lines[0]).toContain('"user":"é→😀a\\u009b\\u2028b"');
    await copies();
    const entries = await server.client().xrange('holdover:audit', '-', '+');
    expect(entries.map(([, fields]) => fields)).toEqual(lines.map((line) => ['line', line]));
    expect([counts.failed, said]).toEqual([0, []]);
  });

  it('keeps a bounded number of lines', async () => {
    const filler = server.client().pipeline();
    for (let n = 0; n < 100_500; n++) filler.xadd('holdover:audit', '*', 'line', '{}');
    await filler.exec();
    const client = connectTo(server.url);
    const { audit, copies } = setUp(() => client);
    await audit.intent(ENTRY);
    await copies();
    expect(await server.client().xlen('holdover:audit')).toBeLessThanOrEqual(100_100);
  });

  it('is counted when it fails, said once until it works again, and keeps nobody from anything', async () => {
    let client = connectTo('redis://127.0.0.1:1');
    const { audit, lines, said, counts, copies } = setUp(() => client);
    for (let n = 0; n < 3; n++) {
      await writeBoth(audit);
    }
    expect(lines).toHaveLength(6);
    await copies();
    expect([counts.failed, said]).toEqual([6, ['audit lines are not copied to Redis']]);

    client = connectTo(server.url);
    await audit.intent(ENTRY);
    await copies();
    client = connectTo('redis://127.0.0.1:1');
    await audit.intent(ENTRY);
    await copies();
    expect([counts.failed, said.slice(1)]).toEqual([
      7,
      ['audit lines are copied to Redis again', 'audit lines are not copied to Redis'],
    ]);
  });

  it('is not waited for, even where Redis never answers', async () => {
    const silent = createServer().listen(0, '127.0.0.1');
    await once(silent, 'listening');
    const client = connectTo(`redis://127.0.0.1:${(silent.address() as AddressInfo).port}`);
    const { audit, lines, counts, copies } = setUp(() => client);
    await writeBoth(audit);
    expect([lines.length, counts.failed]).toEqual([2, 0]);
    await copies();
    expect(counts.failed).toBe(2);
    client.disconnect();
    silent.close();
  });

  it('costs nothing where no client can be had at all', async () => {
    const { audit, lines, counts, copies } = setUp(() => {
      throw new Error('no more connections');
    });
    await writeBoth(audit);
    await copies();
    expect([lines.length, counts.failed]).toEqual([2, 2]);
  });
});
