/**
 * Holdover in workerd, beside a worker that only forwards. Both through Miniflare's API, since `wrangler dev` puts a proxy
 * of its own in front. Calls whose token was verified before, calls whose token never was, and calls over the limit.
 */
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';
import { Miniflare } from 'miniflare';
import { toHoldoverEnv } from './contenders.mjs';
import { measure } from './load.mjs';
import { CORES, pin, readName, toProcessTree } from './machine.mjs';

const ROOT = fileURLToPath(new URL('..', import.meta.url));

const NO_LIMIT = 1_000_000_000;

/** Few enough that p50 is the work rather than the queue. */
const CONNECTIONS = 8;

const ALG = 'HS256';

/** In each round, in this order. `sequential` over more tokens than the cache holds finds none of them there again. */
const CALLS = [
  { worker: 'forward', name: 'bare Hono worker, only forwards', tokens: 64 },
  { worker: 'holdover', name: 'holdover, token verified before', tokens: 64 },
  { worker: 'holdover', name: 'holdover, token never seen', tokens: 20_000, order: 'sequential' },
  { worker: 'denied', name: 'holdover, caller over the limit', tokens: 64, order: 'sequential', answers: 'refusal' },
];

/** One figure for each kind of call and round. */
export async function measureWorkers({ world, toSetup, backend, rounds, isQuick, say }) {
  say('workers: bundling');
  const [forward, holdover] = [await bundleForward(world.folder), bundleHoldover(world.folder)];
  const toEnv = (limit) => toHoldoverEnv({ ...toSetup({ alg: ALG, backendUrl: backend.url, limit }) });
  const toBindings = (limit) => ({
    ...toEnv(limit),
    BACKEND_CREDENTIALS: readFileSync(world.path('credentials.json'), 'utf8'),
  });
  const workers = {
    forward: await startWorker('forward', forward, { BACKEND_URL: backend.url, BODY: world.pageBody }),
    holdover: await startWorker('holdover', holdover, toBindings(NO_LIMIT)),
    denied: await startWorker('denied', holdover, toBindings(1)),
  };
  const seconds = isQuick ? 1 : 2;
  const ask = ({ worker, ...load }) =>
    measure(workers[worker], world, { alg: ALG, seconds, connections: CONNECTIONS, ...load });
  for (const call of CALLS) {
    // The first call of each caller is still allowed.
    await ask({ ...call, answers: call.answers && 'either' });
  }
  const figures = [];
  for (let round = 0; round < rounds; round += 1) {
    say(`workers: round ${round + 1} of ${rounds}`);
    for (const call of CALLS)
      figures.push({ round, name: call.name, isFloor: call.worker === 'forward', ...(await ask(call)) });
  }
  for (const worker of Object.values(workers)) await worker.stop();
  return figures;
}

async function bundleForward(folder) {
  const outdir = join(folder, 'worker-forward');
  const entry = fileURLToPath(new URL('workers/forward.mjs', import.meta.url));
  const options = { bundle: true, format: 'esm', minify: true, outdir, entryNames: 'worker', logLevel: 'warning' };
  await build({ entryPoints: [entry], ...options });
  return outdir;
}

/** What `wrangler deploy` would upload. */
function bundleHoldover(folder) {
  const outdir = join(folder, 'worker-holdover');
  const quiet = { WRANGLER_SEND_METRICS: 'false', WRANGLER_SEND_ERROR_REPORTS: 'false', WRANGLER_HIDE_BANNER: 'true' };
  const args = ['node_modules/wrangler/bin/wrangler.js', 'deploy', '--dry-run', '--outdir', outdir];
  const stdio = ['ignore', 'ignore', 'inherit'];
  execFileSync(process.execPath, args, { cwd: ROOT, stdio, env: { ...process.env, ...quiet } });
  return outdir;
}

/** A workerd of its own, on the contender's core. */
async function startWorker(name, folder, bindings) {
  const before = new Set(findWorkerds());
  const miniflare = new Miniflare({
    modules: true,
    rootPath: folder,
    modulesRoot: folder,
    scriptPath: 'worker.js',
    compatibilityDate: /^compatibility_date = "(.+)"$/m.exec(readFileSync(join(ROOT, 'wrangler.toml'), 'utf8'))?.[1],
    compatibilityFlags: ['nodejs_compat'],
    bindings,
    host: '127.0.0.1',
    port: 0,
    cf: false,
    handleRuntimeStdio(stdout, stderr) {
      stdout.resume();
      stderr.resume();
    },
  });
  const url = await miniflare.ready;
  const pid = findWorkerds().find((found) => !before.has(found));
  pin(pid, CORES.contender);
  return { name: `${name} in workerd`, url: url.origin, pid, stop: () => miniflare.dispose() };
}

function findWorkerds() {
  return toProcessTree(process.pid).filter((pid) => readName(pid) === 'workerd');
}
