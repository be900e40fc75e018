/** What `wrangler deploy` would upload: small enough, and without the one call that would send requests around the guard. */
import { readFileSync } from 'node:fs';
import { gzipSync } from 'node:zlib';
import { expect, it } from 'vitest';
import { WORKER_BUNDLE } from '../support/build.ts';

/** Of issue 3. Far below Cloudflare's limits: it is the start-up of each isolate that grows with it. */
const BUDGET_BYTES = 110 * 1024;

const bundle = readFileSync(`${WORKER_BUNDLE}/worker.js`);

it('stays within 110 KiB, compressed', () => {
  expect(gzipSync(bundle).byteLength).toBeLessThanOrEqual(BUDGET_BYTES);
});

it('never asks for a request that failed here to be passed on', () => {
  expect(bundle.includes('passThroughOnException')).toBe(false);
});
