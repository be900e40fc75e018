/**
 * `npm run bench:profile`: where Holdover's CPU time goes under the benchmark's load. Node's own sampling profiler on the
 * bundle as it ships; its samples from after the warm-up, as microseconds a request, by group, by function, and by our own
 * functions with all that they call. `-- --alg=RS256 --tokens=20000 --users=10000 --directory=file --keep=PATH`.
 */
import { execFileSync } from 'node:child_process';
import { copyFileSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { SourceMap } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { startHoldover } from './contenders.mjs';
import { measure } from './load.mjs';
import { assertMachine, installMissing, startBackend, startRedis } from './machine.mjs';
import { printRow } from './table.mjs';
import { createWorld } from './world.mjs';

const ROOT = fileURLToPath(new URL('..', import.meta.url));

const WARM_UP_SECONDS = 10;
const PROFILED_SECONDS = 10;
const INTERVAL_MICROS = 250;
const ROWS = 45;

const sourceMaps = new Map();

const say = (text) => process.stderr.write(`${text}\n`);
const print = (text = '') => process.stdout.write(`${text}\n`);

const { values: options } = parseArgs({
  options: {
    alg: { type: 'string', default: 'HS256' },
    tokens: { type: 'string', default: '64' },
    users: { type: 'string', default: '0' },
    directory: { type: 'string', default: 'redis' },
    keep: { type: 'string' },
  },
});
const { alg, directory } = options;
const [tokens, users] = [Number(options.tokens), Number(options.users)];

installMissing(say);
assertMachine();
say('building Holdover');
execFileSync('npm', ['run', '--silent', 'build'], { cwd: ROOT, stdio: ['ignore', 'ignore', 'inherit'] });
const folder = mkdtempSync(join(tmpdir(), 'holdover-profile-'));
process.once('exit', () => rmSync(folder, { recursive: true, force: true }));
const world = await createWorld(folder, { organizations: 1000, tokens });
const redis = await startRedis(folder);
const backend = await startBackend(folder);
const redisUrl = `redis://127.0.0.1:${redis.port}/1`;
execFileSync(process.execPath, ['dist/directory-command.mjs', 'load', world.path('organizations.json')], {
  cwd: ROOT,
  stdio: ['ignore', 'ignore', 'inherit'],
  env: { ...process.env, REDIS_URL: redisUrl },
});

const profiles = join(folder, 'profiles');
mkdirSync(profiles);
const setup = { world, alg, backendUrl: backend.url, redisUrl, directory, limit: 1_000_000, log: join(folder, 'log') };
const nodeArgs = ['--cpu-prof', `--cpu-prof-dir=${profiles}`, `--cpu-prof-interval=${INTERVAL_MICROS}`];
const holdover = { ...(await startHoldover({ ...setup, nodeArgs })), name: 'holdover' };
say('load');
await measure(holdover, world, { alg, tokens, users, seconds: WARM_UP_SECONDS });
// The profiler's clock is the monotonic one, as is this.
const fromMicros = Number(process.hrtime.bigint() / 1000n);
const figure = await measure(holdover, world, { alg, tokens, users, seconds: PROFILED_SECONDS });
const untilMicros = Number(process.hrtime.bigint() / 1000n);
await holdover.stop();
const [file] = readdirSync(profiles);
if (options.keep) copyFileSync(join(profiles, file), options.keep);
report(JSON.parse(readFileSync(join(profiles, file), 'utf8')));
process.exit(0);

function report(profile) {
  const nodes = new Map(profile.nodes.map((node) => [node.id, node]));
  const frames = new Map(profile.nodes.map((node) => [node.id, toFrame(node.callFrame)]));
  const parents = new Map(profile.nodes.flatMap(({ id, children = [] }) => children.map((child) => [child, id])));
  const [byGroup, byFunction, inclusive] = [new Map(), new Map(), new Map()];
  let at = profile.startTime;
  for (const [index, id] of profile.samples.entries()) {
    // A delta is the time before its sample; what is on top then has run since.
    at += profile.timeDeltas[index];
    const micros = profile.timeDeltas[index + 1] ?? 0;
    if (at < fromMicros || at > untilMicros || nodes.get(id).callFrame.functionName === '(idle)') continue;
    const frame = frames.get(id);
    add(byGroup, frame.group, micros);
    add(byFunction, `${frame.name} | ${frame.place}`, micros);
    const seen = new Set();
    for (let each = id; each !== undefined; each = parents.get(each)) {
      const { name, place, group } = frames.get(each);
      const key = `${name} | ${place}`;
      if (!group.startsWith('src/') || seen.has(key)) continue;
      seen.add(key);
      add(inclusive, key, micros);
    }
  }
  const total = [...byGroup.values()].reduce((sum, micros) => sum + micros, 0);
  print(
    `${alg}, ${tokens} tokens, directory: ${directory}: ${figure.requests} requests at ${figure.perSecond.toFixed(0)} a second;`,
  );
  print(
    `${(total / figure.requests).toFixed(0)} µs a request sampled, ${figure.cpuMicros.toFixed(0)} µs CPU (with the profiler's own).`,
  );
  printTop('group (self time)', byGroup, total);
  printTop('function (self time) | where', byFunction, total);
  printTop('our function, with what it calls | where', inclusive, total);
}

function printTop(title, entries, total) {
  print();
  const headings = title.split(' | ');
  printRow(print, ['µs a request', '%', ...headings]);
  printRow(print, ['---:', '---:', ...headings.map(() => '---')]);
  const sorted = [...entries].sort(([, one], [, other]) => other - one);
  for (const [name, micros] of sorted.slice(0, ROWS)) {
    printRow(print, [(micros / figure.requests).toFixed(1), ((100 * micros) / total).toFixed(1), name]);
  }
}

function add(map, key, micros) {
  map.set(key, (map.get(key) ?? 0) + micros);
}

/** Where a frame is in our sources, in a package or in Node. */
function toFrame({ functionName, url, lineNumber, columnNumber }) {
  const name = functionName || '(anonymous)';
  if (url === '') return { name, group: functionName.startsWith('(') ? functionName : '(native)', place: '' };
  if (url.startsWith('node:'))
    return { name, group: url.split('/').slice(0, 2).join('/'), place: `${url}:${lineNumber + 1}` };
  if (url.startsWith('wasm:')) return { name, group: 'undici', place: 'its parser, WebAssembly' };
  const path = url.startsWith('file:') ? fileURLToPath(url) : url;
  const [, dependency] = /.*node_modules\/((?:@[^/]+\/)?[^/]+)/.exec(path) ?? [];
  const short = path.replace(/^.*node_modules\//, '').replace(ROOT, '');
  if (dependency) return { name, group: dependency, place: `${short}:${lineNumber + 1}` };
  if (!path.startsWith(ROOT)) return { name, group: '(other)', place: path };
  const entry = toSourceMap(path).findEntry(lineNumber, columnNumber);
  const source = entry.originalSource?.replace(/^(?:\.\.\/)+/, '') ?? short;
  return { name, group: source, place: `${source}:${(entry.originalLine ?? lineNumber) + 1}` };
}

function toSourceMap(path) {
  const known = sourceMaps.get(path) ?? new SourceMap(JSON.parse(readFileSync(`${path}.map`, 'utf8')));
  sourceMaps.set(path, known);
  return known;
}
