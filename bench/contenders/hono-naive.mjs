/** Holdover's own framework without its care: hono/jwt, hono-rate-limiter on Redis, global fetch, one middleware each. */
import { serve } from '@hono/node-server';
import { Hono } from 'hono';
import { HTTPException } from 'hono/http-exception';
import { jwt } from 'hono/jwt';
import { RedisStore, rateLimiter } from 'hono-rate-limiter';
import { Redis } from 'ioredis';
import * as job from './job.mjs';

const { settings, ERRORS, LegacyError } = job;

const redis = new Redis(settings.redisUrl);
/** The commands as hono-rate-limiter spells them. */
const client = {
  scriptLoad: (script) => redis.script('LOAD', script),
  evalsha: (sha, keys, args) => redis.evalsha(sha, keys.length, ...keys, ...args),
  decr: (key) => redis.decr(key),
  del: (key) => redis.del(key),
};

const app = new Hono();

app.use(async (c, next) => {
  c.set('startedAt', performance.now());
  job.readBearer(c.req.header('authorization'));
  await next();
});
app.use(jwt({ secret: settings.key, alg: settings.alg, verification: { aud: settings.audience } }));
app.use(async (c, next) => {
  job.checkClaims(c.get('jwtPayload'));
  await next();
});
app.use(
  rateLimiter({
    windowMs: job.RATE_LIMIT_WINDOW_MS,
    limit: settings.rateLimit,
    keyGenerator: (c) => c.get('jwtPayload').user_id,
    store: new RedisStore({ client, prefix: 'hono:' }),
    handler: (c) => {
      const { status, body } = ERRORS.rateLimited;
      const retryAfter = { 'Retry-After': c.res.headers.get('Retry-After') ?? '1' };
      return new Response(body, { status, headers: { ...job.toHeaders(crypto.randomUUID(), body), ...retryAfter } });
    },
  }),
);

app.delete('/v2/organizations/:guid/users/:user', async (c) => {
  const { guid, user } = c.req.param();
  const removal = job.prepare(guid, user, c.get('jwtPayload'));
  job.writeAudit('intent', removal);
  const { path, authorization, requestId } = removal;
  const { status } = await fetch(settings.backendUrl + path, {
    method: 'DELETE',
    headers: { authorization, 'x-request-id': requestId },
  });
  job.writeAudit('outcome', removal, { backend_status: status });
  if (status !== 204) throw new LegacyError(ERRORS.unavailable);
  job.logRequest('DELETE', 201, c.get('startedAt'), removal.line);
  return c.body(removal.body, 201, job.toHeaders(requestId, removal.body));
});

app.onError((error, c) => {
  const ofHono = error instanceof HTTPException && error.status === 401 ? ERRORS.tokenInvalid : ERRORS.unavailable;
  const { status, body } = error instanceof LegacyError ? error.answer : ofHono;
  job.logRequest('DELETE', status, c.get('startedAt'), {});
  return c.body(body, status, job.toHeaders(crypto.randomUUID(), body));
});

serve({ fetch: app.fetch, port: settings.port, hostname: '127.0.0.1' });
