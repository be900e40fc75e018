/**
 * What Node needs to forward the request and nothing else: bare `node:http` and an undici pool. No token, no limit, no
 * Redis, no directory, no log; the body is a constant. The yardstick, not a contender.
 */
import { createServer } from 'node:http';
import { Pool } from 'undici';

const { PORT, BACKEND_URL, BODY } = process.env;

const pool = new Pool(BACKEND_URL, { connections: 256 });
const headers = {
  'Content-Type': 'application/json;charset=utf-8',
  'X-VCAP-Request-ID': '1116c63a-e216-4e4d-8dec-e8967d42907f',
  'Content-Length': `${Buffer.byteLength(BODY)}`,
  'X-Content-Type-Options': 'nosniff',
};

createServer(async (incoming, outgoing) => {
  const user = incoming.url.slice(incoming.url.lastIndexOf('/') + 1);
  const { statusCode, body } = await pool.request({ method: incoming.method, path: `/organization/members/${user}` });
  await body.dump();
  if (statusCode === 204) outgoing.writeHead(201, headers).end(BODY);
  else outgoing.writeHead(503).end();
}).listen(Number(PORT), '127.0.0.1');
