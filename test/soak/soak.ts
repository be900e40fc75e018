/**
 * `npm run soak -- --minutes N`: two replicas under mixed load while everything around them breaks and is mended. Prints
 * what clients got and what the replicas hold; ends with 1 where an answer was lost, wrong or a false success.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { makeTrouble } from './faults.ts';
import { makeLoad, type Tally } from './load.ts';
import { type Measure, type Replica, startReplica } from './replica.ts';
import { openWorld } from './world.ts';

const SAMPLE_MS = 1_000;
/** Until connections that nobody uses any more are closed, on both sides of a replica. */
const REST_MS = 8_000;
/** The longest run: what is longer is a service, not a test. */
const MOST_MINUTES = 60;

interface Sample extends Measure {
  readonly minutes: number;
}

const { values } = parseArgs({ options: { minutes: { type: 'string', default: '10' } } });
const minutes = Number(values.minutes);
if (!(minutes > 0 && minutes <= MOST_MINUTES)) throw new Error(`--minutes: a number above 0, at most ${MOST_MINUTES}`);

const world = await openWorld();
const replicas = await Promise.all([startReplica(world.env.redis), startReplica(world.env.file)]);
const starts = replicas.map((replica) => replica.measure());
const began = performance.now();
const isOver = () => performance.now() - began > minutes * 60_000;
const samples: Sample[][] = replicas.map(() => []);
const sampling = setInterval(() => {
  for (const [index, replica] of replicas.entries()) samples[index]?.push(sample(replica));
}, SAMPLE_MS);

const [tally, troubles] = await Promise.all([makeLoad(world, replicas, isOver), makeTrouble(world, isOver)]);
clearInterval(sampling);
await sleep(REST_MS);
const ends = replicas.map((replica) => replica.measure());
const codes = await Promise.all(replicas.map((replica) => replica.stop()));
await world.close();

printTally(tally);
console.log(`troubles: ${[...troubles].map(([name, count]) => `${count} × ${name}`).join(', ')}`);
for (const [index, replica] of replicas.entries()) {
  console.log(
    `replica ${index + 1}: exit code ${codes[index]}, ${replica.audit.intents} intents, ${replica.audit.outcomes} outcomes`,
  );
  printMeasures(starts[index] as Measure, samples[index] ?? [], ends[index] as Measure);
  for (const [text, count] of replica.complaints) console.log(`  said ${count} times: ${text}`);
}
const unfinished = replicas.reduce((sum, { audit }) => sum + audit.open.size, 0);
const faults = {
  lost: tally.lost.length,
  'wrong answers': tally.wrong.length,
  'false successes': tally.falseSuccesses,
  'never repaired': tally.unrepaired,
  'intents without an outcome': unfinished,
  'exit codes': codes.filter((code) => code !== 0).length,
};
const found = Object.entries(faults).filter(([, count]) => count > 0);
console.log(found.length === 0 ? 'sound' : `NOT SOUND: ${found.map(([name, count]) => `${count} ${name}`).join(', ')}`);
process.exit(found.length === 0 ? 0 : 1);

function sample(replica: Replica): Sample {
  return { minutes: (performance.now() - began) / 60_000, ...replica.measure() };
}

function printTally({ requests, aborted, answers, lost, wrong, falseSuccesses, repaired, latenciesMs }: Tally): void {
  const sorted = [...latenciesMs].sort((a, b) => a - b);
  const at = (share: number) => `${(sorted[Math.floor(sorted.length * share)] ?? 0).toFixed(1)} ms`;
  console.log(`${requests} requests in ${minutes} min, ${aborted} hung up by the client`);
  for (const [name, count] of [...answers].sort(([a], [b]) => a.localeCompare(b))) console.log(`  ${name}: ${count}`);
  console.log(`lost: ${lost.length}${lost.length > 0 ? ` (${[...new Set(lost)].slice(0, 5).join('; ')})` : ''}`);
  console.log(`wrong answers: ${wrong.length}${wrong.length > 0 ? ` (${[...new Set(wrong)].join('; ')})` : ''}`);
  console.log(`false successes: ${falseSuccesses}`);
  console.log(`removals repeated until they succeeded: ${repaired}`);
  console.log(`latency with faults: p50 ${at(0.5)}, p99 ${at(0.99)}, longest ${at(1 - 1 / (sorted.length + 1))}`);
}

/** Caches and compiled code fill up first: whether memory is flat, the second half says. */
function printMeasures(start: Measure, taken: readonly Sample[], end: Measure): void {
  const half = Math.floor(taken.length / 2);
  const slopes = [taken.slice(0, half), taken.slice(half)].map((samples) => toSlope(samples).toFixed(2));
  const most = { residentMb: 0, handles: 0 };
  for (const { residentMb, handles } of taken) {
    most.residentMb = Math.max(most.residentMb, residentMb);
    most.handles = Math.max(most.handles, handles);
  }
  const toMb = ({ residentMb }: Measure) => `${residentMb.toFixed(1)} MB`;
  console.log(`  resident set: ${toMb(start)} at the start, ${toMb(most)} at most, ${toMb(end)} at the end`);
  console.log(`  slope: ${slopes[0]} MB/min in the first half, ${slopes[1]} MB/min in the second`);
  console.log(`  open handles: ${start.handles} at the start, ${most.handles} at most, ${end.handles} at the end`);
}

/** Least squares, in MB per minute. */
function toSlope(samples: readonly Sample[]): number {
  const mean = (numbers: readonly number[]) => numbers.reduce((sum, number) => sum + number, 0) / numbers.length;
  const [meanX, meanY] = [mean(samples.map((one) => one.minutes)), mean(samples.map((one) => one.residentMb))];
  let [above, below] = [0, 0];
  for (const one of samples) {
    above += (one.minutes - meanX) * (one.residentMb - meanY);
    below += (one.minutes - meanX) ** 2;
  }
  return below === 0 ? 0 : above / below;
}
