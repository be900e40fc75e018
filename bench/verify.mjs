/**
 * What a contender must do before it is timed: the page's exact bytes and headers, ten bad tokens refused with the exact
 * legacy errors and no call to the backend, and the exact limit. Against a backend that writes down what it is asked.
 */
import { createHmac } from 'node:crypto';
import { once } from 'node:events';
import { createServer } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import { PAGE, toClaims, toSigningInput } from './world.mjs';

/** The limit every contender is started with to be verified, and how many requests then come at once. */
export const VERIFIED_LIMIT = 25;
const LIMIT_REQUESTS = 40;

const PATH = `/v2/organizations/${PAGE.guid}/users/${PAGE.user}`;

/** A backend that remembers. `calls` are `METHOD path authorization`. */
export async function startRecorder() {
  const calls = [];
  const server = createServer((incoming, outgoing) => {
    calls.push(`${incoming.method} ${incoming.url} ${incoming.headers.authorization ?? ''}`);
    outgoing.writeHead(204).end();
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    url: `http://127.0.0.1:${server.address().port}`,
    calls,
    close: () => server.closeAllConnections() ?? server.close(),
  };
}

/** Throws with the first thing that is not as it must be. `alg` undefined: a proxy that knows no tokens. */
export async function verify({ name, url }, world, recorder, alg) {
  const complain = (what, found) => {
    throw new Error(`${name}, ${alg ?? 'no token'}: ${what}; found ${JSON.stringify(found)}`);
  };
  const ask = async (authorization) => {
    const response = await fetch(url + PATH, { method: 'DELETE', headers: authorization ? { authorization } : {} });
    return { status: response.status, headers: Object.fromEntries(response.headers), body: await response.text() };
  };
  recorder.calls.length = 0;
  const token = alg && (await world.signToken(alg, toClaims()));
  const credential = world.credentials[world.records[0].backend.credential].token;
  const expected = alg
    ? `DELETE /organization/members/${PAGE.backendUser} Bearer ${credential}`
    : `DELETE /organization/members/${PAGE.user} `;
  const isExpected = (call) => (alg ? call === expected : call.startsWith(expected));

  // The scheme in any case, as clients send it.
  for (const scheme of ['bearer', 'Bearer', 'BEARER']) {
    const { status, headers, body } = await ask(token && `${scheme} ${token}`);
    if (status !== 201) complain('the page’s call is answered 201', { status, body });
    if (body !== world.pageBody) complain('the body is the page’s, byte for byte', body);
    if (headers['content-length'] !== '1304') complain('Content-Length is 1304', headers);
    if (headers['content-type'] !== 'application/json;charset=utf-8') complain('Content-Type is the page’s', headers);
    if (headers['x-content-type-options'] !== 'nosniff') complain('nosniff is said', headers);
    if (!/^[\da-f-]{36}$/.test(headers['x-vcap-request-id'] ?? '')) complain('there is a request id', headers);
  }
  const isRight = recorder.calls.length === 3 && recorder.calls.every(isExpected);
  if (!isRight) complain(`the backend is asked: ${expected}`, recorder.calls);
  if (alg === undefined) return;

  recorder.calls.length = 0;
  for (const [what, authorization, error] of await toBadTokens(world, alg)) {
    const { status, headers, body } = await ask(authorization);
    if (status !== 401 || body !== error) complain(`${what} is refused with ${error}`, { status, body });
    if (headers['content-type'] !== 'application/json;charset=utf-8') complain('errors have the Content-Type', headers);
  }
  if (recorder.calls.length > 0) complain('a bad token reaches no backend', recorder.calls);

  const fresh = await world.signToken(alg, toClaims());
  const answers = await Promise.all(Array.from({ length: LIMIT_REQUESTS }, () => ask(`bearer ${fresh}`)));
  const allowed = answers.filter(({ status }) => status === 201).length;
  const refused = answers.filter(({ status }) => status === 429);
  if (allowed !== VERIFIED_LIMIT || allowed + refused.length !== LIMIT_REQUESTS) {
    const statuses = answers.map(({ status }) => status);
    complain(`of ${LIMIT_REQUESTS} requests at once ${VERIFIED_LIMIT} are allowed, the others 429`, statuses.join(' '));
  }
  for (const { headers, body } of refused) {
    if (body !== RATE_LIMITED) complain(`429 says ${RATE_LIMITED}`, body);
    if (!(Number(headers['retry-after']) >= 1)) complain('429 has Retry-After', headers);
  }
  // A call that should not have left may still be on its way.
  await sleep(50);
  if (recorder.calls.length !== VERIFIED_LIMIT) complain('what is over the limit reaches no backend', recorder.calls);
}

const toError = (code, name, description) =>
  `${JSON.stringify({ code, description, error_code: `CF-${name}` }, null, 2)}\n`;
const MISSING = toError(10002, 'NotAuthenticated', 'Authentication error');
const INVALID = toError(1000, 'InvalidAuthToken', 'Invalid Auth Token');
const RATE_LIMITED = toError(10013, 'RateLimitExceeded', 'Rate Limit Exceeded');

/** What each is, its Authorization header, the error it is refused with. */
async function toBadTokens(world, alg) {
  const otherAlg = alg === 'HS256' ? 'RS256' : 'HS256';
  const good = await world.signToken(alg, toClaims());
  const [header, , signature] = good.split('.');
  const otherClaims = Buffer.from(JSON.stringify(toClaims({ user_id: 'somebody-else' }))).toString('base64url');
  // The public key taken for a secret, or a key of another kind.
  const confused = async (input) => createHmac('sha256', world.publicPem).update(input).digest('base64url');
  const otherSecret = async (input) => createHmac('sha256', 'x'.repeat(64)).update(input).digest('base64url');
  const nowSeconds = Math.floor(Date.now() / 1000);
  const sign = (changes, signer) => world.signToken(alg, toClaims(changes), signer);
  return [
    ['no token', undefined, MISSING],
    ['another scheme', `Basic ${Buffer.from('a:b').toString('base64')}`, MISSING],
    ['what is no token', 'bearer not-a-token', INVALID],
    ['an unsigned token', `bearer ${toSigningInput({ alg: 'none', typ: 'JWT' }, toClaims())}.`, INVALID],
    ['a token of another key', `bearer ${await sign({}, otherSecret)}`, INVALID],
    ['a changed token', `bearer ${header}.${otherClaims}.${signature}`, INVALID],
    [
      'a token of another algorithm',
      `bearer ${await world.signToken(otherAlg, toClaims(), otherAlg === 'HS256' ? confused : undefined)}`,
      INVALID,
    ],
    ['an expired token', `bearer ${await sign({ exp: nowSeconds - 10 })}`, INVALID],
    ['a token not valid yet', `bearer ${await sign({ nbf: nowSeconds + 3600 })}`, INVALID],
    ['a token for somebody else', `bearer ${await sign({ aud: ['uaa'] })}`, INVALID],
  ];
}
