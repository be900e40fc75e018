/**
 * The Hono app: which requests reach which part of the pipeline, the request id, the body cap, and the answer on the
 * wire. Steps 1 to 3 of decisions.md, section 1; the rest is `pipeline.ts`. Both runtimes run this same app.
 */
import { Buffer } from 'node:buffer';
import { Hono } from 'hono';
import { identify } from './admission.ts';
import { readBody } from './body.ts';
import { type Call, type Reply, toRefusal } from './call.ts';
import type { Failure, Result } from './failure.ts';
import type { Shape } from './legacy/era.ts';
import { toLegacyError } from './legacy/errors.ts';
import { getOrganization } from './legacy/get-organization.ts';
import { toLegacyHeaders, toRequestId } from './legacy/headers.ts';
import type { Operation } from './legacy/operation.ts';
import { removeOrgUser } from './legacy/remove-org-user.ts';
import { createMatchRoute, hasOneReading, looselyMatches, toPathname, toRoutePath } from './legacy/route.ts';
import { type MaybePromise, whenKnown } from './maybe-promise.ts';
import { runOperation, runPassthrough, type Services } from './pipeline.ts';
import type { Log } from './telemetry/log.ts';
import type { RequestRecord } from './telemetry/request-log.ts';

/** Every legacy operation Holdover can adapt. One line mounts one. */
export const OPERATIONS: readonly Operation[] = [removeOrgUser, getOrganization];

/** What an entry hands in with each request, as Hono's `env`. */
export interface Visit {
  readonly services: Services;
  /** The client's address. */
  readonly ip: string;
  /** Path and query exactly as sent. */
  readonly rawTarget: string;
  readonly record: RequestRecord;
  readonly log: Log;
  /** Called once per request, when its status is known. */
  readonly onAnswered: (request: Request, requestId: string, record: RequestRecord, status: number) => void;
  /** Answers under `/_holdover/`; undefined where nothing is to be found there. */
  readonly admin: ((request: Request) => Promise<Response | undefined>) | undefined;
}

export interface AppOptions {
  /** Names of the operations that are adapted (ADAPT). */
  readonly adapt: readonly string[];
  /** Compact JSON for `GET /v2/info` where there is no origin (LEGACY_INFO). */
  readonly info: string | undefined;
}

const INFO_PATH = '/v2/info';

export const ADMIN_PATH = '/_holdover/';

export function createApp(options: AppOptions): Hono<{ Bindings: Visit }> {
  const app = new Hono<{ Bindings: Visit }>({
    // The target as it was sent: a URL has resolved its dot segments before anything was decoded.
    getPath: (request, options) => toRoutePath(toPathname(options?.env?.rawTarget ?? request.url)),
  });
  const adapted = OPERATIONS.filter((operation) => options.adapt.includes(operation.name));
  const guarded = adapted.filter((operation) => operation.method === 'DELETE');

  for (const operation of adapted) {
    const matchRoute = createMatchRoute(operation.path);
    app.on(operation.method, operation.path, (c) => {
      // Hono's routers differ about a trailing slash, and Hono would decode a parameter a second time.
      const parameters = matchRoute(c.req.path);
      if (parameters === undefined) return c.notFound();
      // An organization that the origin might read as another, which has moved, never gets there.
      const { services, rawTarget } = c.env;
      const isHeld = services.origin && guarded.includes(operation) && !hasOneReading(toPathname(rawTarget));
      const held = isHeld ? { ...services, origin: undefined } : services;
      return answer(c.req.raw, c.env, (call) => {
        const run = (body: Result<Uint8Array>) => {
          if (!body.ok) return closing(refuse(body.failure, call, held));
          call.body = body.value;
          return runOperation(operation, parameters, call, held);
        };
        return whenKnown(readBody(c.req.raw), run);
      });
    });
  }

  app.notFound((c) => {
    const { services, rawTarget, admin } = c.env;
    const { origin } = services;
    const isOurs = c.req.path.toLowerCase().startsWith(ADMIN_PATH);
    if (isOurs && admin !== undefined) {
      return admin(c.req.raw).then((found) => found ?? answer(c.req.raw, c.env, routeUnknown(services)));
    }
    // What a more lenient server might take for an adapted removal must not reach the origin around the guard.
    const pathname = toPathname(rawTarget);
    const isGuarded =
      c.req.raw.method === 'DELETE' && guarded.some((operation) => looselyMatches(operation.path, pathname));
    const isInfo = c.req.path === INFO_PATH && c.req.raw.method === 'GET';
    if (!isOurs && !isGuarded && origin !== undefined) {
      return answer(c.req.raw, c.env, (call) => runPassthrough(call, services, origin, isInfo));
    }
    if (isInfo && options.info !== undefined) {
      const info: Reply = { answer: { status: 200, body: options.info }, headers: {} };
      return answer(c.req.raw, c.env, () => info);
    }
    return answer(c.req.raw, c.env, routeUnknown(services));
  });

  // What a bug throws outside `answer` would be Hono's own text.
  app.onError((error, c) => answer(c.req.raw, c.env, () => Promise.reject(error)));

  return app;
}

type Run = (call: Call) => MaybePromise<Reply>;

async function answer(request: Request, visit: Visit, run: Run): Promise<Response> {
  const { services, record } = visit;
  const { headers } = request;
  const uuid = crypto.randomUUID();
  const requestId = toRequestId(headers.get('x-vcap-request-id') ?? headers.get('x-request-id'), uuid);
  const { ip, rawTarget } = visit;
  const call: Call = {
    request,
    requestId,
    uuid,
    ip,
    rawTarget,
    query: toQuery(rawTarget),
    body: undefined,
    record,
  };
  let reply: Reply;
  try {
    reply = await run(call);
  } catch (error) {
    reply = refuse(
      { kind: 'unexpected', reason: error instanceof Error ? (error.stack ?? error.message) : 'not an Error' },
      call,
      services,
    );
  }
  const response = 'passed' in reply ? reply.passed : toResponse(reply, requestId);
  try {
    visit.onAnswered(request, requestId, record, response.status);
  } catch (error) {
    // The removal may have happened: what is wrong with a log or a metric must not take its answer away.
    visit.log.error('a request was not recorded', { request_id: requestId, reason: String(error) });
  }
  return response;
}

/** The legacy answer where no call exists: what came in was no HTTP, or Holdover is not configured. */
export function toPlainAnswer(
  failure: Failure,
  shape: Shape,
): { status: number; headers: Record<string, string>; body: string } {
  const { status, body, headers } = toLegacyError(failure, shape);
  return { status, headers: { ...toLegacyHeaders(crypto.randomUUID(), Buffer.byteLength(body)), ...headers }, body };
}

function toResponse(
  { answer: { status, body }, headers }: Exclude<Reply, { passed: Response }>,
  requestId: string,
): Response {
  // Not two spreads: V8 makes that a slow object.
  return new Response(body, { status, headers: Object.assign(toLegacyHeaders(requestId, toLength(body)), headers) });
}

function toLength(body: string | null): number | null {
  return body === null ? null : Buffer.byteLength(body);
}

/** A refusal from before, or beside, the pipeline: no token is verified, so only the User-Agent can choose its shape. */
function refuse(failure: Failure, call: Call, services: Services): Reply {
  return toRefusal(failure, identify(undefined, call, services).shape, call);
}

/** The rest of the body is not worth reading: the connection ends with the answer. */
function closing(reply: Reply): Reply {
  return 'passed' in reply ? reply : { ...reply, headers: { ...reply.headers, Connection: 'close' } };
}

function routeUnknown(services: Services): Run {
  return (call) => refuse({ kind: 'route-unknown' }, call, services);
}

const NO_QUERY = new URLSearchParams();

/** Of the target as it was sent, like the path: `request.url` holds the client's Host too. */
function toQuery(target: string): URLSearchParams {
  if (!target.includes('?')) return NO_QUERY;
  const [, query] = /^[^?#]*\?([^#]*)/.exec(target) ?? [];
  return query === undefined ? NO_QUERY : new URLSearchParams(query);
}
