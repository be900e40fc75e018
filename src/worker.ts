/** The entry on Cloudflare Workers. What only this runtime has: one Redis client per request, `fetch`, `console.log`. */

import { createAdmin } from './admin.ts';
import { ADMIN_PATH, createApp, OPERATIONS, toPlainAnswer, type Visit } from './app.ts';
import { parseConfig } from './config.ts';
import { createFetchTransport } from './http/fetch.ts';
import { profileOf } from './legacy/profiles.ts';
import { createFetchOrigin } from './origin/fetch.ts';
import { toClientIp } from './policy/client-address.ts';
import { createRedisDirectory } from './redis/directory.ts';
import type { Scope } from './scope.ts';
import { createWiring } from './services.ts';
import { createJsonLog } from './telemetry/json-log.ts';
import { NO_METER } from './telemetry/meter.ts';
import { createRequestRecord, logRequest, type RequestRecord, toEnding } from './telemetry/request-log.ts';
import { openRequestScope } from './worker-scope.ts';

type Env = Readonly<Record<string, unknown>>;

/** Its passThroughOnException is never called: a request that failed here must not reach the origin around the guard. */
interface Context {
  waitUntil(work: Promise<unknown>): void;
}

type Handle = (request: Request, ctx: Context) => Response | Promise<Response>;

const writeLine = (line: string) => console.log(line);
const monotonicMs = () => performance.now();

/** Made by the first request, since variables come with requests; its caches and breakers live as long as the isolate. */
let handle: Handle | undefined;

export default {
  fetch(request: Request, env: Env, ctx: Context): Response | Promise<Response> {
    handle ??= createHandle(env);
    return handle(request, ctx);
  },
};

function createHandle(env: Env): Handle {
  const names = OPERATIONS.map(({ name }) => name);
  const parsed = parseConfig(env, { name: 'workers' }, names);
  const startLog = createJsonLog('info', writeLine);
  for (const warning of parsed.warnings) startLog.warn(warning);
  if (!parsed.ok) return refuseAll(parsed.mistakes);
  const { config } = parsed;
  const { backend, originUrl, trustedProxies, redis, admin } = config;
  const log = createJsonLog(config.logLevel, writeLine);
  // Called as a method of anything else, workerd's fetch throws.
  const fetchLike: typeof fetch = (input, init) => fetch(input, init);
  const list = backend.credentials.kind === 'list' ? backend.credentials.list : new Map();
  const [url] = redis?.urls ?? [];
  if (redis === undefined || url === undefined) return refuseAll(['REDIS_URL: required on Workers']);
  const wiring = createWiring(config, {
    log,
    meter: NO_METER,
    writeLine,
    transport: createFetchTransport(fetchLike),
    source: createRedisDirectory(),
    credentials: () => list,
    origin: originUrl === undefined ? undefined : createFetchOrigin({ originUrl, trustedProxies }, fetchLike),
    countsAddressesLocally: true,
  });
  const { forScope, isReady, warmUp, dependencies } = wiring;
  const app = createApp({ adapt: config.adapt, info: config.info });
  const { token } = admin;
  const toAdmin = (scope: Scope): Visit['admin'] => {
    if (token === undefined) return undefined;
    const readiness = async () => {
      // An isolate without traffic has nothing else that would load them.
      if (!isReady()) await warmUp(scope);
      return { isReady: isReady(), isDraining: false, dependencies: dependencies() };
    };
    return (request) => createAdmin({ readiness, token, pathPrefix: ADMIN_PATH.replace(/\/$/, '') })(request);
  };
  const onAnswered = (request: Request, requestId: string, record: RequestRecord, status: number) =>
    logRequest(log, record, toEnding(request, requestId, record, status));

  return async (request, ctx) => {
    const scope = openRequestScope({ url, timeoutMs: redis.timeoutMs }, ctx);
    const { pathname, search } = new URL(request.url);
    const visit: Visit = {
      services: forScope(scope),
      ip: toClientIp(request.headers.get('cf-connecting-ip') ?? undefined, undefined, 0),
      rawTarget: pathname + search,
      record: createRequestRecord(monotonicMs),
      log,
      onAnswered,
      admin: toAdmin(scope),
    };
    try {
      return await app.fetch(request, visit);
    } finally {
      scope.end();
    }
  };
}

/** An isolate that is not configured tells clients nothing but that, and the log everything, once. */
function refuseAll(mistakes: readonly string[]): Handle {
  createJsonLog('error', writeLine).error('the configuration has mistakes', { mistakes });
  return () => {
    const { shape } = profileOf('2014-12');
    const { status, headers, body } = toPlainAnswer({ kind: 'unexpected', reason: 'not configured' }, shape);
    return new Response(body, { status, headers });
  };
}
