/**
 * The contract, over HTTP: every fixture of this folder, on Node and in workerd, against what ships. A fixture's
 * guarantee is the test's name, its source stands in its file.
 */
import { readFileSync } from 'node:fs';
import { gunzipSync } from 'node:zlib';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { differences, type Exchange, type Fixture, readFixtures, toRawRequest } from '../support/fixture.ts';
import { type FixtureBackend, startFixtureBackend } from '../support/fixture-backend.ts';
import { type FixtureOrigin, startFixtureOrigin } from '../support/fixture-origin.ts';
import { type Environment, type Holdover, type Runtime, startHoldover } from '../support/holdover.ts';
import { loadDirectory } from '../support/load-directory.ts';
import { type RawAnswer, rawRequest } from '../support/raw-request.ts';
import { type RedisServer, startRedis } from '../support/redis.ts';

const SECRET = 'a secret of the contract fixtures, long enough for HS256';
const DIRECTORY = readFileSync('test/contract/directory.json', 'utf8');
const RUNTIMES: readonly Runtime[] = ['node', 'workerd'];

const fixtures = readFixtures();
const ran = new Map<string, Set<Runtime>>(fixtures.map(({ name }) => [name, new Set()]));

describe.each(RUNTIMES)('on %s', (runtime) => {
  let redis: RedisServer;
  let backend: FixtureBackend;
  let origin: FixtureOrigin;

  beforeAll(async () => {
    redis = await startRedis();
    await loadDirectory(redis.url, DIRECTORY);
    backend = await startFixtureBackend(['page', 'suspended', 'one-manager', 'bare', 'wrong']);
    origin = await startFixtureOrigin();
  });
  afterAll(async () => {
    await Promise.all([backend.close(), origin.close()]);
    await redis.stop();
  });

  for (const [key, group] of groupByEnvironment(fixtures)) {
    describe(key, () => {
      let holdover: Holdover;
      beforeAll(async () => {
        holdover = await startHoldover(runtime, {
          ...backend.env,
          LEGACY_TOKEN_SECRET: SECRET,
          ORGANIZATIONS: 'redis',
          REDIS_URL: redis.url,
          ...(runtime === 'node' ? { TRUSTED_PROXIES: '1' } : {}),
          ...withOrigin(group[0]?.env),
        });
      });
      afterAll(async () => {
        expect(await holdover.stop()).toBe(0);
        expect(holdover.noise.filter((line) => !/ExperimentalWarning|--trace-warnings/.test(line))).toEqual([]);
      });

      it.each(group)('$name $guarantee', async (fixture) => {
        for (const [index, exchange] of fixture.exchanges.entries()) {
          expect(await play(exchange, holdover), `exchange ${index + 1}`).toEqual([]);
        }
        ran.get(fixture.name)?.add(runtime);
      });
    });
  }

  function withOrigin(env: Fixture['env'] = {}): Environment {
    return Object.fromEntries(
      Object.entries(env).map(([name, value]) => [name, value.replace('<origin>', origin.url)]),
    );
  }

  /** What went otherwise than the fixture says. */
  async function play(exchange: Exchange, holdover: Holdover): Promise<string[]> {
    backend.expect(exchange.backend ?? []);
    origin.expect(exchange.origin ?? []);
    const before = holdover.lines.length;
    const sent = await rawRequest(holdover.url, await toRawRequest(exchange.request, SECRET));
    const found = runtime === 'workerd' ? withoutEdge(sent) : sent;
    const differs = [...differences(exchange, found), ...backend.differences(), ...origin.differences()];
    const expected = (exchange.audit ?? []).flatMap((outcome) => ['intent', outcome]);
    if (expected.length > 0 && differs.length === 0) {
      await holdover.waitForLine((line) => line['audit'] === 'outcome' && holdover.lines.indexOf(line) >= before);
    }
    const audit = holdover.lines.slice(before).filter((line) => 'audit' in line);
    const trail = audit.map((line) => (line['audit'] === 'intent' ? 'intent' : line['outcome']));
    if (trail.join() !== expected.join()) differs.push(`audit ${trail.join()}, not ${expected.join()}`);
    return differs;
  }
});

it('was shown by every fixture, on both runtimes', () => {
  const missing = fixtures.filter(({ name }) => ran.get(name)?.size !== RUNTIMES.length);
  expect(missing.map(({ name }) => `${name} ran on ${[...(ran.get(name) ?? [])]}`)).toEqual([]);
});

/**
 * Cloudflare's edge, which Miniflare imitates, compresses JSON for a client that takes it compressed, whatever the Worker
 * says, and then knows no length (README, "Deploy the Worker"). Undone as that client does.
 */
function withoutEdge({ status, headers, body }: RawAnswer): RawAnswer {
  const kept = new Map(headers);
  if (kept.get('content-encoding') !== 'gzip') return { status, headers, body };
  kept.delete('content-encoding');
  if (body.length === 0) return { status, headers: kept, body };
  const decoded = gunzipSync(body);
  kept.set('content-length', `${decoded.length}`);
  return { status, headers: kept, body: decoded };
}

/** One Holdover for all fixtures with the same variables, but for those that need their own. */
function groupByEnvironment(all: readonly Fixture[]): Map<string, Fixture[]> {
  const groups = new Map<string, Fixture[]>();
  for (const fixture of all) {
    const own = fixture.fresh ? `fresh for ${fixture.name}` : `with ${JSON.stringify(fixture.env ?? {})}`;
    groups.set(own, [...(groups.get(own) ?? []), fixture]);
  }
  return groups;
}
