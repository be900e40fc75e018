/** Express 5 with the libraries most teams reach for: jose, rate-limiter-flexible on ioredis, global fetch. */
import { createPublicKey } from 'node:crypto';
import express from 'express';
import { Redis } from 'ioredis';
import { jwtVerify } from 'jose';
import { RateLimiterRedis, RateLimiterRes } from 'rate-limiter-flexible';
import * as job from './job.mjs';

const { settings, ERRORS, LegacyError } = job;

const key = settings.alg === 'HS256' ? new TextEncoder().encode(settings.key) : createPublicKey(settings.key);
const limiter = new RateLimiterRedis({
  storeClient: new Redis(settings.redisUrl),
  keyPrefix: 'express',
  points: settings.rateLimit,
  duration: job.RATE_LIMIT_WINDOW_MS / 1000,
});

const app = express();
app.disable('x-powered-by');
app.disable('etag');

app.use(async (request, _response, next) => {
  request.startedAt = performance.now();
  const token = job.readBearer(request.headers.authorization);
  try {
    const rules = { algorithms: [settings.alg], audience: settings.audience, requiredClaims: ['exp'] };
    request.caller = (await jwtVerify(token, key, rules)).payload;
  } catch {
    throw new LegacyError(ERRORS.tokenInvalid);
  }
  job.checkClaims(request.caller);
  next();
});

app.use(async (request, response, next) => {
  try {
    const { remainingPoints } = await limiter.consume(request.caller.user_id);
    response.set({ 'X-RateLimit-Limit': `${settings.rateLimit}`, 'X-RateLimit-Remaining': `${remainingPoints}` });
  } catch (error) {
    if (!(error instanceof RateLimiterRes)) throw error;
    response.set('Retry-After', `${Math.ceil(error.msBeforeNext / 1000)}`);
    throw new LegacyError(ERRORS.rateLimited);
  }
  next();
});

app.delete('/v2/organizations/:guid/users/:user', async (request, response) => {
  const { guid, user } = request.params;
  const removal = job.prepare(guid, user, request.caller);
  job.writeAudit('intent', removal);
  const { path, authorization, requestId } = removal;
  const { status } = await fetch(settings.backendUrl + path, {
    method: 'DELETE',
    headers: { authorization, 'x-request-id': requestId },
  });
  job.writeAudit('outcome', removal, { backend_status: status });
  if (status !== 204) throw new LegacyError(ERRORS.unavailable);
  job.logRequest('DELETE', 201, request.startedAt, removal.line);
  response.status(201).set(job.toHeaders(requestId, removal.body)).end(removal.body);
});

// Four parameters make it Express's error handler.
app.use((error, request, response, _next) => {
  const { status, body } = error instanceof LegacyError ? error.answer : ERRORS.unavailable;
  job.logRequest('DELETE', status, request.startedAt, {});
  response.status(status).set(job.toHeaders(crypto.randomUUID(), body)).end(body);
});

app.listen(settings.port, '127.0.0.1');
