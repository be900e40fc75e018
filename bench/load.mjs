/** One timed window: wrk against a contender, and what the contender spent in it. What wrk sends: `load.lua`. */
import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { CORES, findOnPath, readCpuMicros, readForeignMicros, readResidentBytes, toProcessTree } from './machine.mjs';

const SCRIPT = fileURLToPath(new URL('load.lua', import.meta.url));

const CONNECTIONS = 64;

/** A window with one wrong answer counts for nothing. So often it may be repeated: on a machine with other work, time-outs happen. */
const TRIES = 3;

const run = promisify(execFile);

/**
 * `seconds` are whole ones, as wrk takes them. `answers` is what every answer must be: `success`, `refusal`; or `either`,
 * for a warm-up. Other options: `load.lua`. Rejects where no window was right.
 */
export async function measure(contender, world, options) {
  const { answers = 'success' } = options;
  for (let tries = 1; ; tries += 1) {
    const { said, ...figure } = await measureWindow(contender, world, options);
    const isRight = { success: said.refused === 0, refusal: said.refused === said.requests, either: true }[answers];
    if (isRight && said.lost === 0 && said.requests > 0) return figure;
    const complaint = `${contender.name}: not every answer was a ${answers}: ${JSON.stringify(said)}`;
    if (tries === TRIES) throw new Error(complaint);
    process.stderr.write(`${complaint}; once more\n`);
  }
}

async function measureWindow(contender, world, options) {
  const { alg, tokens, seconds, order = 'random', organizations = world.records.length, users = 0 } = options;
  const { connections = CONNECTIONS, tokensFile = world.path(`${alg}.tokens`) } = options;
  const pids = toProcessTree(contender.pid);
  const seed = Math.floor(Math.random() * 2 ** 31);
  const parts = [world.path('guids'), organizations, tokensFile, tokens, order, users, seed];
  const wrk = [findOnPath('wrk'), '-t1', `-c${connections}`, `-d${seconds}s`, '--timeout', '10s', '-s', SCRIPT];
  const foreignBefore = readForeignMicros();
  const before = readCpuMicros(pids);
  const { stdout } = await run('taskset', ['-c', CORES.others, ...wrk, contender.url, '--', ...parts.map(String)]);
  const cpuMicros = readCpuMicros(pids) - before;
  const foreignMicros = readForeignMicros() - foreignBefore;
  const said = JSON.parse(/^\{"requests".*\}$/m.exec(stdout)?.[0] ?? 'null');
  if (said === null) throw new Error(`wrk said nothing of use:\n${stdout}`);
  return {
    said,
    cpuMicros: cpuMicros / said.requests,
    perSecond: said.requests / (said.durationMicros / 1e6),
    p50Micros: said.p50Micros,
    /** Of one core. */
    foreignShare: foreignMicros / said.durationMicros,
    residentBytes: readResidentBytes(pids),
    requests: said.requests,
  };
}
