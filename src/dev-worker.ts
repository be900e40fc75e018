/**
 * `npm run dev:worker`: the Worker in `wrangler dev`, on a machine without network and account. With a `.dev.vars` file it
 * runs as that says; without one, before the sandbox backend and a Redis of this machine, with secrets made for this run.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { createServer } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { Redis } from 'ioredis';
import { SignJWT } from 'jose';
import { parseDirectory } from './directory/contents.ts';
import { MARKER_KEY, parseMarker } from './redis/directory.ts';
import { loadDirectory } from './redis/load-directory.ts';
import { openSandboxBackend } from './sandbox/backend.ts';
import { PAGE_PATH } from './sandbox/page.ts';
import { createWorld } from './sandbox/world.ts';

const OWN_VARIABLES = '.dev.vars';
const PORT = Number(process.env['PORT'] || 8787);
const SECRET_BYTES = 32;
/** As long as the page's token. */
const TOKEN_LIFETIME = '7 days';
const REDIS_START_MS = 5_000;

/** What wrangler would otherwise ask of the network. */
const OFFLINE = {
  WRANGLER_SEND_METRICS: 'false',
  WRANGLER_SEND_ERROR_REPORTS: 'false',
  WRANGLER_HIDE_BANNER: 'true',
  CLOUDFLARE_CF_FETCH_ENABLED: 'false',
};

/** Versions of a directory in Redis that come from here. */
const SANDBOX_VERSION = 'sandbox-';

let wrangler: ChildProcess | undefined;
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
  process.on(signal, () => (wrangler ? wrangler.kill('SIGTERM') : process.exit(1)));
}
if ((await tryPort(PORT)) === undefined) stop(`port ${PORT} of 127.0.0.1 is in use. Set PORT to another.`);
const variables = existsSync(OWN_VARIABLES) ? {} : await openSandbox(await openRedis());
wrangler = startWrangler(variables);
const [code] = await once(wrangler, 'exit');
process.exit(code ?? 0);

/** The variables of a Worker before the sandbox; says on the way how to call it. */
async function openSandbox(redisUrl: string): Promise<Record<string, string>> {
  const world = createWorld();
  const backend = await openSandboxBackend({ organizations: world.organizations });
  const directory = parseDirectory(JSON.stringify(world.directory));
  if (!directory.ok) throw new Error(directory.mistakes.join('\n'));
  const client = new Redis(redisUrl);
  const marker = parseMarker(await client.get(MARKER_KEY));
  if (marker !== undefined && !marker.version.startsWith(SANDBOX_VERSION)) {
    stop('the Redis of REDIS_URL holds a directory that is not the sandbox’s. Set REDIS_URL to another, or unset it.');
  }
  await loadDirectory(client, directory.value, SANDBOX_VERSION + randomBytes(8).toString('hex'));
  await client.quit();
  const secret = randomBytes(SECRET_BYTES).toString('base64url');
  const claims = { user_id: 'uaa-id-111', scope: ['cloud_controller.admin'], aud: ['cloud_controller'] };
  const token = await new SignJWT(claims)
    .setProtectedHeader({ alg: 'HS256', typ: 'JWT' })
    .setExpirationTime(TOKEN_LIFETIME)
    .sign(Buffer.from(secret));
  console.log(
    `\nOnce it is ready, from another terminal:\n\ncurl -i -X DELETE -H "Authorization: bearer ${token}" http://127.0.0.1:${PORT}${PAGE_PATH}\n`,
  );
  return {
    BACKEND_URL: backend.url,
    BACKEND_TOKEN_URL: backend.tokenUrl,
    BACKEND_CREDENTIALS: JSON.stringify(world.credentials),
    LEGACY_TOKEN_SECRET: secret,
    ORGANIZATIONS: 'redis',
    REDIS_URL: redisUrl,
  };
}

function startWrangler(vars: Readonly<Record<string, string>>): ChildProcess {
  const bound = Object.entries(vars).flatMap(([name, value]) => ['--var', `${name}:${value}`]);
  // Not through npx: ending that would leave wrangler and two workerd processes running.
  const args = ['node_modules/wrangler/bin/wrangler.js', 'dev', '--ip', '127.0.0.1', '--port', `${PORT}`, ...bound];
  return spawn(process.execPath, args, { stdio: 'inherit', env: { ...process.env, ...OFFLINE } });
}

/** URL of REDIS_URL, or of a redis-server of our own on a free port: never one that happens to run here. */
async function openRedis(): Promise<string> {
  const given = process.env['REDIS_URL'];
  if (given) {
    if (!(await answers(given))) stop('the Redis of REDIS_URL does not answer.');
    return given;
  }
  const port = await tryPort(0);
  const args = ['--port', `${port}`, '--bind', '127.0.0.1', '--save', '', '--appendonly', 'no'];
  const child = spawn('redis-server', args, { stdio: 'ignore' });
  process.once('exit', () => child.kill());
  const url = `redis://127.0.0.1:${port}`;
  const failed = once(child, 'error').then(() => false);
  if (await Promise.race([failed, answers(url)])) return url;
  stop('no redis-server could be started. Install one (`apt-get install redis-server`), or set REDIS_URL.');
}

async function answers(redisUrl: string): Promise<boolean> {
  const client = new Redis(redisUrl, { retryStrategy: () => 50, maxRetriesPerRequest: null });
  client.on('error', () => undefined);
  const answer = await Promise.race([
    client.ping().catch(() => undefined),
    sleep(REDIS_START_MS, undefined, { ref: false }),
  ]);
  client.disconnect();
  return answer !== undefined;
}

/** The port, where nothing else listens there; 0 finds one. */
function tryPort(port: number): Promise<number | undefined> {
  return new Promise((resolve) => {
    const server = createServer().once('error', () => resolve(undefined));
    server.listen(port, '127.0.0.1', () => {
      const address = server.address();
      server.close(() => resolve(typeof address === 'object' && address !== null ? address.port : undefined));
    });
  });
}

function stop(reason: string): never {
  process.stderr.write(`holdover: ${reason}\n`);
  process.exit(1);
}
