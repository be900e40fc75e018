/**
 * For every schedule of faults: a success only where the user is gone, an audit trail that says nothing else, and where
 * the user is gone and the answer was an error, repeats that end in success. The whole of Holdover on Node, in this
 * process, over real connections. Each fault by itself, on what ships: test/fault/.
 */
import { randomUUID } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import fc from 'fast-check';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { parseConfig } from '../../src/config.ts';
import { type NodeServer, startNodeServer } from '../../src/node-server.ts';
import { openRawClient } from '../support/raw-origin.ts';
import { rawRequest } from '../support/raw-request.ts';
import { sampleRecord } from '../support/sample-directory.ts';
import {
  ORGANIZATION_ID,
  type ScriptedBackend,
  type Step,
  startScriptedBackend,
  toWire,
} from '../support/scripted-backend.ts';
import { createSecret, signToken, toClaims } from '../support/tokens.ts';

const SECRET = 'a secret of the commit-point property, for HS256';
const GUID = '211f7701-2715-479b-afbc-811f767fb131';
const SOMEBODY = '00000000-0000-4000-8000-000000000001';
const BACKEND_TIMEOUT_MS = 150;

/** What a backend that tells the truth may do with one DELETE: run it or not, and then answer, or fail to. */
interface Turn {
  readonly runs: boolean;
  readonly ends: 'answers' | 'resets' | 'cuts' | 'stalls' | 'gateway' | 'refuses' | 'limits' | 'forbids' | 'breaks';
  readonly afterBytes: number;
  /** In a row: three are all the tries of one request. */
  readonly times: number;
}

interface Schedule {
  readonly wasMember: boolean;
  /** Of the token endpoint, the member list and the removals, in the order in which they are asked. */
  readonly tokens: readonly ('answers' | 'resets' | 'breaks')[];
  readonly lists: readonly ('answers' | 'resets' | 'lies' | 'breaks')[];
  readonly turns: readonly Turn[];
  /** For each request of the client: whether it hangs up, and after how many milliseconds. */
  readonly requests: readonly (number | 'waits')[];
}

const schedule: fc.Arbitrary<Schedule> = fc.record({
  wasMember: fc.boolean(),
  tokens: fc.array(
    fc.oneof(
      { weight: 5, arbitrary: fc.constant('answers' as const) },
      { weight: 1, arbitrary: fc.constantFrom('resets' as const, 'breaks' as const) },
    ),
    { maxLength: 2 },
  ),
  lists: fc.array(fc.constantFrom('answers', 'resets', 'lies', 'breaks'), { maxLength: 3 }),
  turns: fc.array(
    fc.record({
      runs: fc.boolean(),
      ends: fc.constantFrom('answers', 'resets', 'cuts', 'stalls', 'gateway', 'refuses', 'limits', 'forbids', 'breaks'),
      afterBytes: fc.nat(60),
      times: fc.constantFrom(1, 1, 3),
    }),
    { maxLength: 5 },
  ),
  // Fewer than would open the breaker, which has tests of its own.
  requests: fc.array(fc.oneof(fc.constant('waits' as const), fc.constant('waits' as const), fc.nat(40)), {
    minLength: 1,
    maxLength: 3,
  }),
});

const folder = mkdtempSync(join(tmpdir(), 'holdover-commit-point-'));
const directory = join(folder, 'organizations.json');
let backend: ScriptedBackend;
beforeAll(async () => {
  const record = sampleRecord({ guid: GUID, backend: { organization_id: ORGANIZATION_ID, credential: 'main' } });
  writeFileSync(directory, JSON.stringify({ organizations: [record], users: {}, unmapped_users: 'same' }));
  backend = await startScriptedBackend();
});
afterAll(async () => {
  await backend.close();
  rmSync(folder, { recursive: true, force: true });
});

it('a success only if the user is gone, and where the user is gone repeats end in success', {
  timeout: 120_000,
}, async () => {
  await fc.assert(
    fc.asyncProperty(schedule, async (plan) => {
      const user = randomUUID();
      const members = new Set([SOMEBODY, ...(plan.wasMember ? [user] : [])]);
      /** X-Request-Id of the DELETEs that took the user out. */
      const removals: string[] = [];
      const heal = playSchedule(plan, user, members, removals);
      const { server, lines } = await openServer();
      try {
        for (const patience of plan.requests) {
          const status = await ask(server, user, patience);
          if (status === 201) expect(members.has(user)).toBe(false);
        }
        heal();
        const status = await repeat(server, user);
        expect(status).toBe(201);
        expect(members.has(user)).toBe(false);
      } finally {
        expect(await server.drain()).toBe('drained');
      }
      expectTrail(lines, members.has(user), removals);
    }),
    { seed: 20_261_121, numRuns: 100 },
  );
});

/** One intent and one outcome for each removal, and no outcome that is not so. */
function expectTrail(lines: readonly string[], isMember: boolean, removals: readonly string[]): void {
  const audit = lines.map((line) => JSON.parse(line)).filter((line) => 'audit' in line);
  const intents = audit.filter((line) => line.audit === 'intent').map((line) => line.request_id);
  const outcomes = audit.filter((line) => line.audit === 'outcome');
  expect(outcomes.map((line) => line.request_id).sort()).toEqual(intents.sort());
  expect(removals.length).toBeLessThanOrEqual(1);
  for (const { outcome, request_id: id } of outcomes) {
    if (removals.includes(id)) expect(['removed', 'not_a_member', 'unknown']).toContain(outcome);
    if (outcome === 'removed' || outcome === 'not_a_member') expect(isMember).toBe(false);
  }
}

function playSchedule(plan: Schedule, user: string, members: Set<string>, removals: string[]): () => void {
  const turns = plan.turns.flatMap((turn) => Array.from({ length: turn.times }, () => turn));
  const [tokens, lists] = [[...plan.tokens], [...plan.lists]];
  backend.play(({ endpoint, headers }) => {
    if (endpoint === 'token') return toTokenStep(tokens.shift());
    if (endpoint === 'members') return toListStep(lists.shift(), members);
    if (endpoint !== 'remove') return undefined;
    const turn = turns.shift() ?? { runs: true, ends: 'answers', afterBytes: 0, times: 1 };
    return toTurnStep(turn, () => {
      const wasThere = members.delete(user);
      if (wasThere) removals.push(headers['x-request-id'] ?? '');
      return wasThere;
    });
  });
  return () => {
    for (const queue of [tokens, lists, turns]) queue.length = 0;
  };
}

function toTokenStep(turn: Schedule['tokens'][number] = 'answers'): Step | undefined {
  if (turn === 'resets') return { fault: 'reset' };
  return turn === 'breaks' ? { status: 500 } : undefined;
}

function toListStep(turn: Schedule['lists'][number] = 'answers', members: ReadonlySet<string>): Step {
  const list = [...members].map((id) => ({ id }));
  if (turn === 'resets') return { fault: 'reset' };
  if (turn === 'breaks') return { status: 500, body: { message: 'm' } };
  // A page that is not all: somebody who is not on it may be a member.
  const total = turn === 'lies' ? list.length + 1 : list.length;
  return { status: 200, body: { count: list.length, meta: { total }, members: list } };
}

/** `run` says whether the user was there. */
function toTurnStep({ runs, ends, afterBytes }: Turn, run: () => boolean): Step {
  const error = (status: number, type: string): Step => ({
    status,
    body: { type: `urn:aerospike:errors:${type}`, title: 'T', status, message: 'm' },
  });
  // Only a backend that has not acted says so.
  if (ends === 'refuses') return error(401, 'auth:token-expired');
  if (ends === 'limits') return error(429, 'ratelimit:exceeded');
  if (ends === 'forbids') return error(403, 'auth:unauthorized');
  const truth: Step | undefined = !runs
    ? undefined
    : run()
      ? { status: 204, headers: { 'x-request-id': 'b' } }
      : error(404, 'resource:not-found');
  if (ends === 'stalls') return { fault: 'stall' };
  if (ends === 'gateway') return { status: 504, body: '<p>' };
  if (ends === 'breaks') return error(500, 'system:internal');
  if (ends === 'resets' || truth === undefined) return { fault: 'reset' };
  if (ends === 'cuts') return { ...truth, fault: 'cut', afterBytes: Math.min(afterBytes, toWire(truth).length - 1) };
  return truth;
}

async function openServer(): Promise<{ server: NodeServer; lines: readonly string[] }> {
  const env = {
    HOST: '127.0.0.1',
    PORT: '0',
    ADMIN_PORT: '0',
    LEGACY_TOKEN_SECRET: SECRET,
    ORGANIZATIONS: `file:${directory}`,
    BACKEND_URL: backend.url,
    BACKEND_TOKEN_URL: backend.tokenUrl,
    BACKEND_CREDENTIALS: '{"main":{"client_id":"a","client_secret":"b"}}',
    BACKEND_TIMEOUT_MS: `${BACKEND_TIMEOUT_MS}`,
    RATE_LIMIT: 'off',
  };
  const parsed = parseConfig(env, { name: 'node', readFile: () => '' }, ['remove-org-user']);
  if (!parsed.ok) throw new Error(parsed.mistakes.join('\n'));
  const lines: string[] = [];
  const writer = {
    bufferLine: (line: string) => lines.push(line) > 0,
    flush: () => undefined,
    droppedCount: () => 0,
    close: () => undefined,
  };
  const started = await startNodeServer(parsed.config, writer);
  if (!started.ok) throw new Error(started.mistakes.join('\n'));
  return { server: started.value, lines };
}

async function ask(server: NodeServer, user: string, patience: number | 'waits'): Promise<number | undefined> {
  const bearer = `bearer ${await signToken(toClaims(), createSecret(SECRET))}`;
  const target = `/v2/organizations/${GUID}/users/${user}`;
  if (patience === 'waits') {
    const headers = { Authorization: bearer };
    return (await rawRequest(server.url, { method: 'DELETE', target, headers })).status;
  }
  const head = `DELETE ${target} HTTP/1.1\r\nHost: h\r\nAuthorization: ${bearer}\r\n\r\n`;
  const client = openRawClient(server.url, head);
  await sleep(patience);
  client.socket.destroy();
  await client.ended;
  return undefined;
}

/** A token that could not be fetched is not asked for again for a second. */
const REPEATS_MS = 6_000;

async function repeat(server: NodeServer, user: string): Promise<number | undefined> {
  const endsAt = performance.now() + REPEATS_MS;
  for (;;) {
    const status = await ask(server, user, 'waits');
    if (status === 201 || performance.now() > endsAt) return status;
    await sleep(100);
  }
}
