/**
 * A million organizations in Redis cost a process only its cache: loads them, looks 100,000 random ones up (and as many
 * users), and prints how much the resident set has grown. Loader and reader are processes of their own, so that neither
 * counts the other's memory. From the root of the project, with redis-server installed:
 *
 *   npx esbuild bench/directory-memory.ts --bundle --platform=node --format=esm --packages=external \
 *     --outfile=dist/directory-memory.mjs && node dist/directory-memory.mjs
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { Redis } from 'ioredis';
import { createDirectory } from '../src/directory/cache.ts';
import type { Organization } from '../src/policy/organization.ts';
import { createRedisDirectory } from '../src/redis/directory.ts';
import { replaceDirectory } from '../src/redis/load-directory.ts';
import type { Scope } from '../src/scope.ts';
import { NO_METER } from '../src/telemetry/meter.ts';
import { startRedis } from '../test/support/redis.ts';

const ORGANIZATIONS = 1_000_000;
const USERS = 1_000_000;
const LOOK_UPS = 100_000;
/** Managers of each organization. */
const MANAGERS = 5;
/** As many as a busy server has in flight. */
const CONCURRENCY = 64;
const MIB = 1024 * 1024;

const [role, url = ''] = process.argv.slice(2);
if (role === 'load') await load();
else if (role === 'look-up') await lookUp();
else await compare();

async function compare(): Promise<void> {
  const server = await startRedis({ own: true });
  try {
    await run('load', server.url);
    await run('look-up', server.url);
  } finally {
    await server.stop();
  }
}

async function run(childRole: string, redisUrl: string): Promise<void> {
  const child = spawn(process.execPath, ['--expose-gc', fileURLToPath(import.meta.url), childRole, redisUrl], {
    stdio: 'inherit',
  });
  const [code] = await once(child, 'exit');
  if (code !== 0) throw new Error(`${childRole} failed`);
}

async function load(): Promise<void> {
  const client = new Redis(url);
  const startedAt = performance.now();
  await replaceDirectory(client, 'bench', {
    organizations: toOrganizations(),
    users: toUsers(),
    reserved: [],
    unmappedUsers: 'refuse',
  });
  const seconds = (performance.now() - startedAt) / 1000;
  const memory = /used_memory:(\d+)/.exec(await client.info('memory'))?.[1];
  console.log(`loaded ${ORGANIZATIONS} organizations and ${USERS} users in ${seconds.toFixed(0)} s`);
  console.log(`Redis holds ${toMib(Number(memory))} MiB`);
  client.disconnect();
}

async function lookUp(): Promise<void> {
  const client = new Redis(url);
  const scope: Scope = { waitUntil() {}, redis: () => client, followerWaitMs: Infinity };
  const directory = createDirectory({
    source: createRedisDirectory(),
    cacheSeconds: 3600,
    monotonicMs: () => performance.now(),
    log: { debug() {}, info() {}, warn: console.warn, error: console.error },
    meter: NO_METER,
  }).forScope(scope);
  // A few look-ups first: compiled code and buffers are not what is measured.
  await Promise.all(Array.from({ length: 2000 }, (_, index) => directory.findOrganization(toUuid(index, 'a'))));
  const before = measure();
  console.log(`before: resident set ${toMib(before.rss)} MiB, heap ${toMib(before.heapUsed)} MiB`);
  let left = LOOK_UPS;
  let failed = 0;
  const work = async () => {
    while (left > 0) {
      left -= 1;
      const organization = await directory.findOrganization(toUuid(random(ORGANIZATIONS), 'a'));
      const user = await directory.findBackendUser(toUuid(random(USERS), 'c'));
      if (!organization.ok || !user.ok) failed += 1;
    }
  };
  const startedAt = performance.now();
  await Promise.all(Array.from({ length: CONCURRENCY }, work));
  const us = ((performance.now() - startedAt) * 1000) / LOOK_UPS;
  const after = measure();
  console.log(`${LOOK_UPS} random organizations and users: ${us.toFixed(0)} us each pair, ${failed} failed`);
  console.log(`after: resident set ${toMib(after.rss)} MiB, heap ${toMib(after.heapUsed)} MiB`);
  const heap = after.heapUsed - before.heapUsed;
  console.log(`grown: resident set ${toMib(after.rss - before.rss)} MiB, heap ${toMib(heap)} MiB`);
  client.disconnect();
}

function measure(): NodeJS.MemoryUsage {
  for (let index = 0; index < 4; index += 1) globalThis.gc?.();
  return process.memoryUsage();
}

function* toOrganizations(): Iterable<Organization> {
  for (let index = 0; index < ORGANIZATIONS; index += 1) {
    yield {
      guid: toUuid(index, 'a'),
      name: `organization-${index}`,
      createdAtSeconds: 1_416_857_557 + index,
      updatedAtSeconds: null,
      billingEnabled: false,
      quotaDefinitionGuid: toUuid(index % 10, 'b'),
      status: 'active',
      managers: new Set(
        Array.from({ length: MANAGERS }, (_, manager) => toUuid((index * MANAGERS + manager) % USERS, 'c')),
      ),
      backend: { organizationId: toUuid(index, 'd'), credential: `credential-${index}` },
    };
  }
}

function* toUsers(): Iterable<readonly [string, string]> {
  for (let index = 0; index < USERS; index += 1) yield [toUuid(index, 'c'), toUuid(index, 'e')];
}

/** One UUID for each number and kind (a hexadecimal digit). */
function toUuid(index: number, kind: string): string {
  const hex = index.toString(16).padStart(12, '0');
  return `${hex.slice(-8)}-${hex.slice(0, 4)}-4000-8000-${kind.repeat(12)}`;
}

function random(below: number): number {
  return Math.floor(Math.random() * below);
}

function toMib(bytes: number): string {
  return (bytes / MIB).toFixed(1);
}
