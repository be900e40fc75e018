/**
 * `npm run soak -- --minutes N`: two replicas under mixed load while everything around them breaks and is mended. Prints
 * what clients got and what the replicas hold; ends with 1 where an answer was lost, wrong or a false success.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { makeTrouble } from './faults.ts';
import { fillTokenMemory, makeLoad, type Tally } from './load.ts';
import { type Measure, startReplica } from './replica.ts';
import { openWorld } from './world.ts';

/** Each sample is a full collection too. */
const SAMPLE_MS = 10_000;
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
await fillTokenMemory(world, replicas);
const measureAll = () => Promise.all(replicas.map((replica) => replica.measure()));
const starts = await measureAll();
const began = performance.now();
const isOver = () => performance.now() - began > minutes * 60_000;
const samples: Sample[][] = replicas.map(() => []);
const sampling = setInterval(async () => {
  const at = (performance.now() - began) / 60_000;
  for (const [index, measure] of (await measureAll()).entries()) samples[index]?.push({ minutes: at, ...measure });
}, SAMPLE_MS);

const [tally, troubles] = await Promise.all([makeLoad(world, replicas, isOver), makeTrouble(world, isOver)]);
clearInterval(sampling);
await sleep(REST_MS);
const ends = await measureAll();
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

/** Compiled code and smaller caches come first: whether memory is flat, the second half says. */
function printMeasures(start: Measure, taken: readonly Sample[], end: Measure): void {
  const half = Math.floor(taken.length / 2);
  const slopeOf = (read: (one: Measure) => number) =>
    [taken.slice(0, half), taken.slice(half)].map((samples) => toSlope(samples, read).toFixed(2));
  const mostOf = (read: (one: Measure) => number) => Math.max(...taken.map(read), read(start), read(end));
  const kinds = { 'live heap': (one: Measure) => one.liveHeapMb, 'resident set': (one: Measure) => one.residentMb };
  for (const [name, read] of Object.entries(kinds)) {
    const [first, second] = slopeOf(read);
    const [from, most, to] = [read(start), mostOf(read), read(end)].map((mb) => `${mb.toFixed(1)} MB`);
    console.log(`  ${name}: ${from} at the start, ${most} at most, ${to} at the end`);
    console.log(`    slope: ${first} MB/min in the first half, ${second} MB/min in the second`);
  }
  const most = mostOf((one) => one.handles);
  console.log(`  open handles: ${start.handles} at the start, ${most} at most, ${end.handles} at the end`);
}

/** Least squares, in MB per minute. */
function toSlope(samples: readonly Sample[], read: (one: Sample) => number): number {
  const mean = (numbers: readonly number[]) => numbers.reduce((sum, number) => sum + number, 0) / numbers.length;
  const [meanX, meanY] = [mean(samples.map((one) => one.minutes)), mean(samples.map(read))];
  let [above, below] = [0, 0];
  for (const one of samples) {
    above += (one.minutes - meanX) * (read(one) - meanY);
    below += (one.minutes - meanX) ** 2;
  }
  return below === 0 ? 0 : above / below;
}
