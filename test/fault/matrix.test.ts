/** Every fault of every row of `failure-modes.ts`, against what ships, on both runtimes. How each comes about: `matrix/`. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import type { Runtime } from '../support/holdover.ts';
import { canOwnRedis } from '../support/redis.ts';
import { backendSuite } from './matrix/backend.ts';
import { fileSuite } from './matrix/file.ts';
import { keySetSuite, staleKeySetSuite } from './matrix/key-set.ts';
import { frozenOriginSuite, originSuite } from './matrix/origin.ts';
import { redisPolicySuite, redisSuite } from './matrix/redis.ts';
import { tokenEndpointSuite } from './matrix/token-endpoint.ts';
import { notRun, toDirectory } from './rig.ts';

const folder = mkdtempSync(join(tmpdir(), 'holdover-matrix-'));
const directoryFile = join(folder, 'organizations.json');
writeFileSync(directoryFile, toDirectory(['main']));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const RUNTIMES: readonly Runtime[] = ['node', 'workerd'];
const ownsRedis = await canOwnRedis();

// The longest first: five run at a time, and each mostly waits.
for (const runtime of RUNTIMES) keySetSuite(runtime);
describe.skipIf(!ownsRedis).concurrent('a Redis of its own', () => {
  for (const runtime of RUNTIMES) {
    redisSuite(runtime);
    redisPolicySuite(runtime, 'closed');
  }
  redisPolicySuite('node', 'open', directoryFile);
});
for (const runtime of RUNTIMES) {
  backendSuite(runtime);
  tokenEndpointSuite(runtime);
  originSuite(runtime);
}
fileSuite();
staleKeySetSuite();
frozenOriginSuite();

it.skipIf(!ownsRedis)('has run every row on every runtime that has it', () => {
  const elsewhere = notRun((name, fault, runtime) => {
    // On Workers the directory is in Redis, too: the row of the directory is what a client sees.
    if (name === 'limitsLocal' && fault === 'down at start') return runtime === 'workerd';
    // A minute that no variable shortens: test/unit/origin-workers.test.ts.
    if (name === 'origin' && fault === 'frozen') return runtime === 'workerd';
    return name === 'crash';
  });
  expect(elsewhere).toEqual([]);
});
