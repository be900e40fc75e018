/**
 * The machine and what stands around a contender on it: which core is whose, the backend (nginx), Redis, and packages
 * that are missing. Processes started here end with the benchmark.
 */
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, openSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { connect, createServer } from 'node:net';
import { cpus } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

const START_MS = 15_000;

/** Of /proc/PID/stat: the kernel's USER_HZ is 100 on every Linux that Node runs on. */
const MICROS_PER_TICK = 10_000;

/** The contender has the last core to itself; load, backend, Redis and this process have the others. */
const LAST_CORE = cpus().length - 1;
export const CORES = { contender: `${LAST_CORE}`, others: LAST_CORE > 1 ? `0-${LAST_CORE - 1}` : '0' };

export function assertMachine() {
  const isThere = (name) => findOnPath(name) !== undefined;
  const mistakes = [
    LAST_CORE > 0 ? undefined : 'two cores: one is the contender’s alone',
    ...['wrk', 'nginx', 'redis-server', 'taskset'].map((name) => (isThere(name) ? undefined : name)),
  ].filter((mistake) => mistake !== undefined);
  if (mistakes.length > 0) throw new Error(`The benchmark needs Linux and: ${mistakes.join(', ')}`);
}

/** By command, the Debian packages that bring it. */
const PACKAGES = {
  wrk: ['wrk'],
  nginx: ['nginx', 'libnginx-mod-http-lua', 'lua-nginx-redis', 'lua-cjson'],
  haproxy: ['haproxy'],
  'redis-server': ['redis-server'],
};

/** Installs what is missing where that is possible: root on Debian. Elsewhere contenders are left out, with the reason. */
export function installMissing(say) {
  const isLuaMissing = !existsSync(NGINX_LUA_MODULE);
  const missing = Object.entries(PACKAGES)
    .filter(([name]) => findOnPath(name) === undefined || (name === 'nginx' && isLuaMissing))
    .flatMap(([, packages]) => packages);
  if (missing.length === 0) return;
  if (process.getuid() !== 0 || findOnPath('apt-get') === undefined) {
    say(`not installed, and only root on Debian may: ${missing.join(' ')}`);
    return;
  }
  say(`apt-get install ${missing.join(' ')}`);
  const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive' };
  const install = () =>
    execFileSync('apt-get', ['install', '-y', '--no-install-recommends', ...missing], { stdio: 'ignore', env });
  try {
    install();
  } catch {
    try {
      execFileSync('apt-get', ['update'], { stdio: 'ignore', env });
      install();
    } catch (error) {
      say(`apt-get failed: ${String(error).split('\n')[0]}`);
    }
  }
}

export const NGINX_MODULES = '/usr/share/nginx/modules';
export const NGINX_LUA_MODULE = `${NGINX_MODULES}/ngx_http_lua_module.so`;

export function findOnPath(name) {
  const folders = [...(process.env.PATH ?? '').split(':'), '/usr/sbin', '/sbin'];
  return folders.map((folder) => join(folder, name)).find((path) => existsSync(path));
}

const running = new Set();
process.once('exit', () => {
  // Not SIGKILL: nginx would leave its workers behind.
  for (const child of running) child.kill('SIGTERM');
});
for (const signal of ['SIGINT', 'SIGTERM']) process.once(signal, () => process.exit(1));

/** Starts `command` on its core. Resolves when `port` accepts; rejects, with its last words, where it ends before that. */
export async function startProcess({ command, args, env = {}, core, port, log, cwd }) {
  const output = openSync(log, 'a');
  const child = spawn('taskset', ['-c', core, command, ...args], {
    env: { PATH: process.env.PATH, HOME: process.env.HOME, ...env },
    stdio: ['ignore', output, output],
    cwd,
  });
  running.add(child);
  child.once('exit', () => running.delete(child));
  const deadline = performance.now() + START_MS;
  while (!(await accepts(port))) {
    const end = child.exitCode ?? child.signalCode ?? (performance.now() > deadline ? 'late' : undefined);
    if (end !== undefined) {
      throw new Error(`${command} did not start (${end}):\n${readFileSync(log, 'utf8').slice(-2000)}`);
    }
    await sleep(20);
  }
  return {
    pid: child.pid,
    port,
    url: `http://127.0.0.1:${port}`,
    async stop() {
      if (child.exitCode !== null || child.signalCode !== null) return;
      const exited = once(child, 'exit');
      child.kill('SIGTERM');
      await Promise.race([exited, sleep(START_MS, undefined, { ref: false })]);
      child.kill('SIGKILL');
    },
  };
}

async function accepts(port) {
  const socket = connect(port, '127.0.0.1');
  try {
    await once(socket, 'connect');
    return true;
  } catch {
    return false;
  } finally {
    socket.destroy();
  }
}

export async function freePort() {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address();
  server.close();
  await once(server, 'close');
  return port;
}

/** A backend that costs next to nothing: every removal succeeds. */
export async function startBackend(folder) {
  const port = await freePort();
  const conf = toNginxConf(folder, 'backend', {
    http: `
  access_log off;
  keepalive_requests 1000000000;
  server {
    listen 127.0.0.1:${port} backlog=1024;
    location / { return 204; }
  }`,
  });
  return startProcess({ ...toNginxCommand(conf), core: CORES.others, port, log: join(folder, 'backend.log') });
}

/** Writes a configuration that keeps everything nginx touches inside `folder`; returns its path. */
export function toNginxConf(folder, name, { main = '', http }) {
  const path = join(folder, `${name}.conf`);
  const temporary = join(folder, `${name}-tmp`);
  mkdirSync(temporary, { recursive: true });
  const paths = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi']
    .map((kind) => `  ${kind}_temp_path ${temporary}/${kind};`)
    .join('\n');
  const user = process.getuid() === 0 ? 'user root;' : '';
  writeFileSync(
    path,
    `${user}
daemon off;
worker_processes 1;
pid ${temporary}/pid;
error_log ${folder}/${name}.error.log warn;
${main}
events { worker_connections 4096; }
http {
${paths}
${http}
}
`,
  );
  return path;
}

export function toNginxCommand(conf) {
  return { command: findOnPath('nginx'), args: ['-c', conf, '-e', `${conf}.start.log`] };
}

/** In memory only. One database for each contender, so that none meets another's keys. */
export async function startRedis(folder) {
  const port = await freePort();
  const args = ['--port', `${port}`, '--bind', '127.0.0.1', '--save', '', '--appendonly', 'no', '--databases', '64'];
  return startProcess({
    command: findOnPath('redis-server'),
    args: [...args, '--dir', folder],
    core: CORES.others,
    port,
    log: join(folder, 'redis.log'),
  });
}

/** The process and all it has started, and they. */
export function toProcessTree(pid) {
  const parents = readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map((name) => ({ pid: Number(name), parent: Number(readStat(Number(name))?.[1]) }));
  const tree = [pid];
  for (const member of tree) tree.push(...parents.filter(({ parent }) => parent === member).map((child) => child.pid));
  return tree;
}

/** CPU microseconds, user and system, of all these processes so far. */
export function readCpuMicros(pids) {
  const ticks = pids.map((pid) => {
    const stat = readStat(pid);
    if (stat === undefined) throw new Error(`process ${pid} has ended`);
    return Number(stat[11]) + Number(stat[12]);
  });
  return sum(ticks) * MICROS_PER_TICK;
}

/** CPU microseconds that the machine has spent on anything but this benchmark so far. */
export function readForeignMicros() {
  const [user, nice, system, , , irq, softirq, steal] = readFileSync('/proc/stat', 'utf8')
    .split('\n', 1)[0]
    .trim()
    .split(/\s+/)
    .slice(1)
    .map(Number);
  // wrk and the like have ended when this is asked: what they spent is with their parent's.
  const ended = readStat(process.pid);
  const own = readCpuMicros(toProcessTree(process.pid)) / MICROS_PER_TICK + Number(ended[13]) + Number(ended[14]);
  return (user + nice + system + irq + softirq + steal - own) * MICROS_PER_TICK;
}

/** Bytes of resident memory of all these processes together. */
export function readResidentBytes(pids) {
  return sum(
    pids.map((pid) => Number(/VmRSS:\s+(\d+) kB/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1] ?? 0) * 1024),
  );
}

export function readName(pid) {
  return readFileSync(`/proc/${pid}/comm`, 'utf8').trim();
}

/** Moves a running process, with its threads, to a core. */
export function pin(pid, core) {
  execFileSync('taskset', ['-a', '-p', '-c', core, `${pid}`], { stdio: 'ignore' });
}

export function describeMachine() {
  const model = /model name\s*: (.+)/.exec(readFileSync('/proc/cpuinfo', 'utf8'))?.[1] ?? process.arch;
  return `${cpus().length} cores (${model}), Linux, Node ${process.version}`;
}

/** The fields behind the name, which may hold anything; undefined where the process is gone. */
function readStat(pid) {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    return stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  } catch {
    return undefined;
  }
}

function sum(numbers) {
  return numbers.reduce((total, number) => total + number, 0);
}
