/** Who is compared: how each is started, and what it leaves out of Holdover's job. */

import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { toHaproxyConfig } from './contenders/haproxy.mjs';
import { toNginxLuaConfig } from './contenders/nginx-lua.mjs';
import { CORES, findOnPath, freePort, NGINX_LUA_MODULE, startProcess, toNginxCommand } from './machine.mjs';

const ROOT = fileURLToPath(new URL('..', import.meta.url));

/** What the Node contenders leave out. All do: token, limit in Redis, directory, access, two audit lines, backend call, body, log line. */
const NODE_LEAVES_OUT = 'metrics, copy of the audit in Redis, breakers, repeats, organization check, drain';

/**
 * In the order they take their turns. `start` gets what `startContender` hands on; `missing` says why one cannot run here.
 */
export const CONTENDERS = [
  {
    name: 'floor-proxy',
    isFloor: true,
    leavesOut: 'everything but the forwarding',
    start: ({ world, ...setup }) => startNode('floor-proxy', { ...setup, env: { BODY: world.pageBody } }),
  },
  {
    name: 'hono-floor',
    isFloor: true,
    leavesOut: 'everything but the forwarding and its headers',
    start: ({ world, ...setup }) => startNode('hono-floor', { ...setup, env: { BODY: world.pageBody } }),
  },
  {
    name: 'holdover',
    leavesOut: '-',
    start: startHoldover,
  },
  {
    name: 'fastify',
    leavesOut: NODE_LEAVES_OUT,
    start: (setup) => startNode('fastify', { ...setup, env: toJobEnv(setup) }),
  },
  {
    name: 'express',
    leavesOut: NODE_LEAVES_OUT,
    start: (setup) => startNode('express', { ...setup, env: toJobEnv(setup) }),
  },
  {
    name: 'hono-naive',
    leavesOut: NODE_LEAVES_OUT,
    start: (setup) => startNode('hono-naive', { ...setup, env: toJobEnv(setup) }),
  },
  {
    name: 'nginx + Lua',
    leavesOut: `managers, ${NODE_LEAVES_OUT}`,
    missing: () => (existsSync(NGINX_LUA_MODULE) ? undefined : 'the Lua module of nginx is not installed'),
    start: async (setup) => {
      const port = await freePort();
      const conf = toNginxLuaConfig({ ...setup, port });
      return startProcess({ ...toNginxCommand(conf), core: CORES.contender, port, log: setup.log });
    },
  },
  {
    name: 'haproxy',
    leavesOut: `Redis (limits in process), audit lines, managers, all but the first audience and scope, ${NODE_LEAVES_OUT}`,
    missing: () => (findOnPath('haproxy') ? undefined : 'haproxy is not installed'),
    start: async (setup) => {
      const port = await freePort();
      const args = ['-db', '-f', toHaproxyConfig({ ...setup, port })];
      return startProcess({ command: findOnPath('haproxy'), args, core: CORES.contender, port, log: setup.log });
    },
  },
];

/**
 * `setup`: world, alg, backendUrl, redisUrl (a database of its own), limit (requests of one caller), folder (of its own).
 */
export async function startContender({ name, start, isFloor }, setup) {
  const log = join(setup.folder, 'output.log');
  const contender = await start({ ...setup, log });
  return { ...contender, name, isFloor: isFloor === true };
}

function toJobEnv({ world, alg, redisUrl, limit }) {
  return {
    REDIS_URL: redisUrl,
    DIRECTORY: world.path('organizations.json'),
    CREDENTIALS: world.path('credentials.json'),
    ALG: alg,
    KEY_FILE: world.path(alg === 'HS256' ? 'secret' : 'public.pem'),
    RATE_LIMIT: `${limit}`,
  };
}

async function startNode(name, { env, backendUrl, log }) {
  const port = await freePort();
  const script = fileURLToPath(new URL(`contenders/${name}.mjs`, import.meta.url));
  return startProcess({
    command: process.execPath,
    args: [script],
    env: { NODE_ENV: 'production', PORT: `${port}`, BACKEND_URL: backendUrl, ...env },
    core: CORES.contender,
    port,
    log,
  });
}

/** As `npm start` starts it, after `npm run build`: all that is on by default is on. `nodeArgs`: for the profiler. */
export async function startHoldover(setup) {
  const { log, nodeArgs = [], core = CORES.contender } = setup;
  const { scripts } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8'));
  const command = scripts.start.split(' && ')[1].replace('exec node', ['exec node', ...nodeArgs].join(' '));
  const [port, adminPort] = [await freePort(), await freePort()];
  return startProcess({
    command: 'sh',
    args: ['-c', command],
    env: {
      NODE_ENV: 'production',
      HOST: '127.0.0.1',
      PORT: `${port}`,
      ADMIN_PORT: `${adminPort}`,
      ...toHoldoverEnv(setup),
    },
    core,
    port,
    log,
    cwd: ROOT,
  });
}

/** The most a quota may say. */
const NO_LIMIT = '1000000/1s';

/** `directory`: where the organizations are, `redis` (loaded before) or a file. */
export function toHoldoverEnv({ world, alg, backendUrl, redisUrl, limit, directory = 'redis' }) {
  return {
    BACKEND_URL: backendUrl,
    BACKEND_CREDENTIALS: `file:${world.path('credentials.json')}`,
    ORGANIZATIONS: directory === 'redis' ? 'redis' : `file:${world.path('organizations.json')}`,
    REDIS_URL: redisUrl,
    ...(alg === 'HS256' ? { LEGACY_TOKEN_SECRET: world.secret } : { LEGACY_TOKEN_PUBLIC_KEY: world.publicPem }),
    RATE_LIMIT: limit >= 1_000_000 ? NO_LIMIT : `${limit}/1h`,
    RATE_LIMIT_UNAUTHENTICATED: NO_LIMIT,
  };
}
