/** Fastify as a careful team would use it: fast-jwt with its cache, @fastify/rate-limit on ioredis, an undici pool. */
import rateLimit from '@fastify/rate-limit';
import { createVerifier } from 'fast-jwt';
import Fastify from 'fastify';
import { Redis } from 'ioredis';
import { Pool } from 'undici';
import * as job from './job.mjs';

const { settings, ERRORS, LegacyError } = job;

/** As many tokens as Holdover remembers. */
const CACHED_TOKENS = 10_000;

const verify = createVerifier({
  key: settings.key,
  algorithms: [settings.alg],
  allowedAud: settings.audience,
  requiredClaims: ['exp'],
  cache: CACHED_TOKENS,
});
const pool = new Pool(settings.backendUrl, { connections: 256 });

const app = Fastify();
await app.register(rateLimit, {
  global: false,
  max: settings.rateLimit,
  timeWindow: job.RATE_LIMIT_WINDOW_MS,
  redis: new Redis(settings.redisUrl),
  nameSpace: 'fastify:',
  hook: 'preHandler',
  keyGenerator: (request) => request.caller.user_id,
  errorResponseBuilder: () => new LegacyError(ERRORS.rateLimited),
});
app.decorateRequest('caller', null);
app.decorateRequest('startedAt', 0);

app.addHook('onRequest', async (request) => {
  request.startedAt = performance.now();
  const token = job.readBearer(request.headers.authorization);
  try {
    request.caller = verify(token);
  } catch {
    throw new LegacyError(ERRORS.tokenInvalid);
  }
  job.checkClaims(request.caller);
});

app.setErrorHandler((error, request, reply) => {
  const { status, body } = error instanceof LegacyError ? error.answer : ERRORS.unavailable;
  job.logRequest('DELETE', status, request.startedAt, {});
  return reply.code(status).headers(job.toHeaders(request.id, body)).send(body);
});

app.delete('/v2/organizations/:guid/users/:user', { config: { rateLimit: {} } }, async (request, reply) => {
  const { guid, user } = request.params;
  const removal = job.prepare(guid, user, request.caller);
  job.writeAudit('intent', removal);
  const { path, authorization, requestId } = removal;
  const headers = { authorization, 'x-request-id': requestId };
  const { statusCode, body } = await pool.request({ method: 'DELETE', path, headers });
  await body.dump();
  job.writeAudit('outcome', removal, { backend_status: statusCode });
  if (statusCode !== 204) throw new LegacyError(ERRORS.unavailable);
  job.logRequest('DELETE', 201, request.startedAt, removal.line);
  return reply.code(201).headers(job.toHeaders(requestId, removal.body)).send(removal.body);
});

await app.listen({ port: settings.port, host: '127.0.0.1' });
