/**
 * `npm run bench -- --scale`: Holdover with 1, 1,000 and a million organizations in Redis, and a million distinct callers in
 * one run. What a request costs must not depend on the first, nor memory on the second.
 */
import { execFileSync } from 'node:child_process';
import { createHmac } from 'node:crypto';
import { once } from 'node:events';
import { createWriteStream, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';
import { CONTENDERS, startContender } from './contenders.mjs';
import { measure } from './load.mjs';
import { median, printRow } from './table.mjs';
import { toClaims, toRecord, toSigningInput } from './world.mjs';

const MILLION = 1_000_000;
const SIZES = [1, 1_000, MILLION];

/** Organizations that are asked about: they are cached after the warm-up. */
const ASKED = 1_000;

const ROUNDS = 5;
const SECONDS = 2;
const WARM_UP_SECONDS = 4;
const WINDOW_SECONDS = 20;

const ALG = 'HS256';
const MIB = 1024 * 1024;
const print = (text = '') => process.stdout.write(`${text}\n`);

export async function measureScale({ world, toSetup, backend, say }) {
  const holdover = CONTENDERS.find(({ name }) => name === 'holdover');
  const loader = await bundleLoader();
  const running = [];
  for (const size of SIZES) {
    say(`loading ${size} organizations`);
    const setup = toSetup({ alg: ALG, backendUrl: backend.url, limit: MILLION, isEmpty: true });
    execFileSync(process.execPath, [loader, setup.redisUrl, `${size}`, `${world.records.length}`], {
      stdio: 'inherit',
    });
    running.push({ ...(await startContender(holdover, setup)), size });
  }
  writeFileSync(
    world.path('guids'),
    toLines(MILLION, (index) => toRecord(index).guid),
  );
  const ask = ({ size, ...contender }, options) =>
    measure(contender, world, {
      alg: ALG,
      tokens: 64,
      organizations: Math.min(size, ASKED),
      users: 10_000,
      ...options,
    });
  for (const contender of running) await ask(contender, { seconds: WARM_UP_SECONDS, answers: 'either' });
  const figures = [];
  for (let round = 0; round < ROUNDS; round += 1) {
    say(`round ${round + 1} of ${ROUNDS}`);
    for (const contender of running) {
      const { cpuMicros } = await ask(contender, { seconds: SECONDS });
      figures.push({ round, size: contender.size, cpuMicros });
    }
  }
  print(
    '| organizations in Redis (1,000 of them asked about) | CPU µs | × 1,000 organizations |\n| ---: | ---: | ---: |',
  );
  for (const size of SIZES) {
    const of = figures.filter((figure) => figure.size === size);
    const ratios = of.map(({ round, cpuMicros }) => {
      const base = figures.find((figure) => figure.round === round && figure.size === ASKED);
      return cpuMicros / base.cpuMicros;
    });
    printRow(print, [size, median(of.map(({ cpuMicros }) => cpuMicros)).toFixed(0), median(ratios).toFixed(2)]);
  }
  for (const contender of running.slice(0, -1)) await contender.stop();
  await measureMillion(running.at(-1), world, say);
  await running.at(-1).stop();
}

/** Every token once, with organizations out of the whole million and users never seen before. */
async function measureMillion({ size, ...contender }, world, say) {
  say('a million tokens');
  const { path, lineLength } = await writeTokens(world);
  const warm = { alg: ALG, tokens: 20_000, organizations: ASKED, seconds: WINDOW_SECONDS };
  const before = await measure(contender, world, warm);
  let callers = 0;
  let figure;
  while (callers < MILLION) {
    say(`${callers} callers so far`);
    const load = { alg: ALG, tokensFile: path, order: 'stream', tokens: callers * lineLength, organizations: size };
    figure = await measure(contender, world, { ...load, seconds: WINDOW_SECONDS });
    callers += figure.requests;
  }
  print();
  print('| | resident MB | CPU µs |\n| --- | ---: | ---: |');
  const row = (what, { residentBytes, cpuMicros }) =>
    printRow(print, [what, (residentBytes / MIB).toFixed(0), cpuMicros.toFixed(0)]);
  row('20,000 callers, 1,000 organizations', before);
  row(`${callers} callers, each once, a million organizations`, figure);
}

/** All lines have one length, so that a window can begin where the one before ended. Some more than a million. */
async function writeTokens(world) {
  const path = join(world.folder, 'million.tokens');
  const file = createWriteStream(path);
  let lineLength = 0;
  for (let index = 0; index < MILLION * 1.5; index += 1) {
    const claims = toClaims({ user_id: `uaa-id-${`${index}`.padStart(7, '0')}`, exp: 4_000_000_000 });
    const input = toSigningInput({ alg: ALG, typ: 'JWT' }, claims);
    const line = `${input}.${createHmac('sha256', world.secret).update(input).digest('base64url')}\n`;
    lineLength = line.length;
    if (!file.write(line)) await once(file, 'drain');
  }
  file.end();
  await once(file, 'finish');
  return { path, lineLength };
}

/** Into a folder below this one, where it finds its packages. */
async function bundleLoader() {
  const folder = fileURLToPath(new URL('results', import.meta.url));
  mkdirSync(folder, { recursive: true });
  const outfile = join(folder, 'load-million.mjs');
  const entry = fileURLToPath(new URL('load-million.mjs', import.meta.url));
  const options = { bundle: true, platform: 'node', format: 'esm', packages: 'external', logLevel: 'warning' };
  await build({ entryPoints: [entry], outfile, ...options });
  return outfile;
}

function toLines(count, toLine) {
  return Array.from({ length: count }, (_, index) => `${toLine(index)}\n`).join('');
}
