/**
 * `npm run bench`: every contender verified, then timed in turns, and a Markdown table of what came out. The figure is CPU
 * time a request as a ratio to floor-proxy's of the same round: absolute times drift by half on a shared machine. So the
 * median over the rounds is taken of ratios, and rounds are short and many: what is compared stands close together. What
 * is sent: `load.lua`. What must be right first: `verify.mjs`.
 *
 *   npm run bench                        the whole table, about nine minutes
 *   npm run bench -- --quick             two short rounds: to see that everything runs, no figures to rely on
 *   npm run bench -- --only=holdover,fastify --rounds=9
 *   npm run bench -- --scale             a million organizations in Redis, and a million callers, instead of the table
 */
import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { CONTENDERS, startContender } from './contenders.mjs';
import { measure } from './load.mjs';
import { assertMachine, CORES, describeMachine, installMissing, pin, startBackend, startRedis } from './machine.mjs';
import { measureScale } from './scale.mjs';
import { printReport } from './table.mjs';
import { startRecorder, VERIFIED_LIMIT, verify } from './verify.mjs';
import { measureWorkers } from './workers.mjs';
import { createWorld } from './world.mjs';

const ROOT = fileURLToPath(new URL('..', import.meta.url));

/** Nobody is denied while it is timed. */
const NO_LIMIT = 1_000_000_000;

/** Enough for V8 to have compiled what it will compile; a machine that is slow gets no longer than WARM_UPS_MOST. */
const WARM_UP_REQUESTS = 15_000;
const WARM_UPS_MOST = 6;

/** What each round asks of a contender, by what its figure is called. */
const SCENARIOS = { 64: { tokens: 64, seconds: 1 } };

/** A whole round, every third, asks everybody, and this beside it of whoever does the job. */
const FURTHER_SCENARIOS = {
  1: { tokens: 1, seconds: 1 },
  20000: { tokens: 20_000, seconds: 2 },
};

/** Whose ratios are targets: the rounds between ask only them. */
const COMPARED = ['floor-proxy', 'hono-floor', 'holdover', 'fastify'];

/** Only for Holdover: what else might make a request dearer. */
const HOLDOVER_SCENARIOS = {
  'one organization': { tokens: 64, seconds: 1, organizations: 1 },
  'users seen before': { tokens: 64, seconds: 1, users: 10_000 },
};

const say = (text) => process.stderr.write(`${text}\n`);

const { values: options } = parseArgs({
  options: {
    quick: { type: 'boolean', default: false },
    rounds: { type: 'string', default: '15' },
    only: { type: 'string' },
    scale: { type: 'boolean', default: false },
  },
});

const startedAt = performance.now();
installMissing(say);
assertMachine();
buildHoldover();
const folder = mkdtempSync(join(tmpdir(), 'holdover-bench-'));
process.once('exit', () => rmSync(folder, { recursive: true, force: true }));

say('making keys and tokens');
const world = await createWorld(folder, { organizations: 1000, tokens: 20_000 });
pin(process.pid, CORES.others);
const redis = await startRedis(folder);
const backend = await startBackend(folder);
const recorder = await startRecorder();
let databases = 0;

if (options.scale) await measureScale({ world, toSetup, backend, say });
else await compare();

process.exit(0);

async function compare() {
  const only = options.only?.split(',');
  const isWanted = ({ name }) => only === undefined || name === 'floor-proxy' || only.includes(name);
  const skipped = [];
  const contenders = CONTENDERS.filter(isWanted).filter(({ name, missing }) => {
    const reason = missing?.();
    if (reason) skipped.push(`${name}: ${reason}`);
    return !reason;
  });
  const rounds = [];
  for (const alg of ['HS256', 'RS256']) rounds.push(...(await compareWith(alg, contenders)));
  const isWorkerWanted = only === undefined || only.includes('workers');
  const workers = isWorkerWanted
    ? await measureWorkers({ world, toSetup, backend, rounds: Math.ceil(toRounds() / 3), isQuick: options.quick, say })
    : [];
  const minutes = ((performance.now() - startedAt) / 60_000).toFixed(1);
  printReport({ machine: describeMachine(), minutes, rounds, workers, skipped, contenders, isQuick: options.quick });
}

/** One figure for each contender, scenario and round. */
async function compareWith(alg, contenders) {
  const running = [];
  for (const contender of contenders) {
    say(`${alg}: verifying ${contender.name}`);
    await verifyOne(contender, alg);
    running.push(await startOne(contender, alg, backend.url, NO_LIMIT));
  }
  for (const contender of running) {
    let requests = 0;
    for (let turn = 0; turn < toWarmUps() && requests < WARM_UP_REQUESTS; turn += 1) {
      requests += (await measure(contender, world, { alg, tokens: 64, seconds: 1, answers: 'either' })).requests;
    }
  }
  const figures = [];
  for (let round = 0; round < toRounds(); round += 1) {
    say(`${alg}: round ${round + 1} of ${toRounds()}`);
    const isWhole = round % 3 === 0;
    const asked = running.filter(({ name }) => isWhole || COMPARED.includes(name));
    // Whoever comes first in one round comes later in the next.
    const first = round % asked.length;
    for (const contender of [...asked.slice(first), ...asked.slice(0, first)]) {
      for (const [scenario, load] of Object.entries(toScenarios(contender, isWhole))) {
        const seconds = options.quick ? 1 : load.seconds;
        const figure = await measure(contender, world, { alg, ...load, seconds });
        figures.push({ alg, round, scenario, name: contender.name, ...figure });
      }
    }
  }
  for (const contender of running) await contender.stop();
  return figures;
}

/** One after the other, so that what is compared within a contender is a second apart. */
function toScenarios({ name, isFloor }, isWhole) {
  if (!isWhole || isFloor) return SCENARIOS;
  return { ...SCENARIOS, ...(name === 'holdover' && HOLDOVER_SCENARIOS), ...FURTHER_SCENARIOS };
}

async function verifyOne(contender, alg) {
  const process = await startOne(contender, alg, recorder.url, VERIFIED_LIMIT);
  await verify(process, world, recorder, contender.isFloor ? undefined : alg);
  await process.stop();
}

async function startOne(contender, alg, backendUrl, limit) {
  return startContender(contender, toSetup({ alg, backendUrl, limit }));
}

/** What a contender is started with: a folder and a Redis database of its own, the directory loaded there. */
function toSetup({ alg, backendUrl, limit, isEmpty = false }) {
  databases += 1;
  const own = join(folder, `${databases}`);
  mkdirSync(own);
  const redisUrl = `redis://127.0.0.1:${redis.port}/${databases}`;
  if (!isEmpty) loadDirectory(redisUrl);
  return { world, alg, backendUrl, redisUrl, limit, folder: own };
}

function loadDirectory(redisUrl) {
  execFileSync(process.execPath, ['dist/directory-command.mjs', 'load', world.path('organizations.json')], {
    cwd: ROOT,
    stdio: ['ignore', 'ignore', 'inherit'],
    env: { ...process.env, REDIS_URL: redisUrl },
  });
}

function buildHoldover() {
  say('building Holdover');
  execFileSync('npm', ['run', '--silent', 'build'], { cwd: ROOT, stdio: ['ignore', 'ignore', 'inherit'] });
}

function toWarmUps() {
  return options.quick ? 1 : WARM_UPS_MOST;
}

function toRounds() {
  return options.quick ? 2 : Number(options.rounds);
}
