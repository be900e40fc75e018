/**
 * What Holdover's frame needs to forward the request and nothing else: Hono on @hono/node-server and undici's cheapest
 * call, with every header of the contract on both sides. No token, no limit, no Redis, no directory, no log; the body is a
 * constant. Whoever uses this frame cannot be faster.
 */
import { randomUUID } from 'node:crypto';
import { createServer } from 'node:http';
import { getRequestListener } from '@hono/node-server';
import { Hono } from 'hono';
import { Pool } from 'undici';

const { PORT, BACKEND_URL, BODY } = process.env;

const pool = new Pool(BACKEND_URL, { connections: 256, headersTimeout: 0, bodyTimeout: 0 });
const contentLength = `${Buffer.byteLength(BODY)}`;
/** As long as the benchmark's credentials. */
const authorization = `Bearer ${'x'.repeat(500)}`;

class Handler {
  #resolve;
  #reject;
  #status = 0;

  constructor(resolve, reject) {
    this.#resolve = resolve;
    this.#reject = reject;
  }

  onRequestStart() {}

  onResponseStart(_controller, status) {
    this.#status = status;
  }

  onResponseData() {}

  onResponseEnd() {
    this.#resolve(this.#status);
  }

  onResponseError(_controller, error) {
    this.#reject(error);
  }
}

function remove(user, requestId) {
  const traceId = requestId.replaceAll('-', '');
  const headers = {
    Authorization: authorization,
    Accept: 'application/json, application/problem+json',
    'X-Request-Id': requestId,
    traceparent: `00-${traceId}-${traceId.slice(16)}-00`,
  };
  const path = `/organization/members/${user}`;
  return new Promise((resolve, reject) => {
    pool.dispatch({ method: 'DELETE', path, headers }, new Handler(resolve, reject));
  });
}

const app = new Hono();

app.delete('/v2/organizations/:guid/users/:user', async (c) => {
  const requestId = randomUUID();
  if ((await remove(c.req.param('user'), requestId)) !== 204) return c.body(null, 503);
  const headers = {
    'Content-Type': 'application/json;charset=utf-8',
    'X-VCAP-Request-ID': requestId,
    'Content-Length': contentLength,
    'X-Content-Type-Options': 'nosniff',
    'X-RateLimit-Limit': '1000000',
    'X-RateLimit-Remaining': '999999',
    'X-RateLimit-Reset': '1417403600',
  };
  return new Response(BODY, { status: 201, headers });
});

createServer(getRequestListener(app.fetch)).listen(Number(PORT), '127.0.0.1');
