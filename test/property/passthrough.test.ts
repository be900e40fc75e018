/**
 * Over spellings of one removal, sent as raw bytes to what ships, on both runtimes: whatever the spelling, the origin
 * never hears of a removal in an organization that has moved, nor of anything under `/_holdover/`. What the route reads
 * into a path, in memory and many more: `legacy-route.test.ts`.
 */
import { readFileSync } from 'node:fs';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Holdover, type Runtime, startHoldover } from '../support/holdover.ts';
import { loadDirectory } from '../support/load-directory.ts';
import { openRawOrigin, type RawOrigin } from '../support/raw-origin.ts';
import { rawRequest } from '../support/raw-request.ts';
import { type RedisServer, startRedis } from '../support/redis.ts';
import { createSecret, signToken, toClaims } from '../support/tokens.ts';

const SECRET = 'a secret of the passthrough properties, long enough';
const MOVED = '211f7701-2715-479b-afbc-811f767fb131';
const NOT_MOVED = '0a1b2c3d-0000-4000-8000-00000000beef';
const RUNS: Readonly<Record<Runtime, { seed: number; numRuns: number }>> = {
  node: { seed: 20141201, numRuns: 600 },
  workerd: { seed: 20141202, numRuns: 300 },
};

/** Mostly as it should be: a spelling with a twist everywhere is refused for too many reasons at once. */
const mostly = (usual: string, twisted: fc.Arbitrary<string>) =>
  fc.oneof({ weight: 6, arbitrary: fc.constant(usual) }, { weight: 1, arbitrary: twisted });

/** `text` with one character percent-encoded, up to `maxLayers` times over. */
const encoded = (text: string, maxLayers: number) =>
  fc.tuple(fc.nat(text.length - 1), fc.nat(maxLayers - 1), fc.boolean()).map(([at, layers, isUpper]) => {
    const hex = text.charCodeAt(at).toString(16);
    return `${text.slice(0, at)}%${'25'.repeat(layers)}${isUpper ? hex.toUpperCase() : hex}${text.slice(at + 1)}`;
  });

/** `text` with the case of one letter changed. */
const inOtherCase = (text: string) =>
  fc.nat(text.length - 1).map((at) => text.slice(0, at) + text.charAt(at).toUpperCase() + text.slice(at + 1));

const withTail = (text: string) =>
  fc.constantFrom(';', ';a=b', '%3Ba=b', '%253B', '%3Fx', '%23', '%00', '%2500').map((tail) => text + tail);

const word = (text: string) => mostly(text, fc.oneof(encoded(text, 3), inOtherCase(text), withTail(text)));
const id = (text: string) => mostly(text, fc.oneof(encoded(text, 3), withTail(text)));

const SEPARATORS = ['//', '/./', '/%2e/', '/x/../', '/x/%2E./', '/%252e/', '/x/%2e%252e/', '%2F', '%2f/', '%252F'];
const separator = mostly('/', fc.constantFrom(...SEPARATORS, '\\', '/\\', '%5C', '/;/', '/x/..;/', ';a=b/'));
const beginning = mostly('', fc.constantFrom('http://elsewhere.test', '/x/..', '/.', '/', '/%2e'));
const ending = mostly('', fc.constantFrom('/', '//', '/.', '/x/..', '%2F', '%252f', '%3Fa', '%23', '%00', '?', '?a=/'));

/** What some server, strict or lenient, takes for the removal of somebody from the organization that has moved. */
const removal = fc
  .tuple(
    beginning,
    ...[word('v2'), word('organizations'), id(MOVED), word('users'), id('uaa-id-110')].flatMap((segment) => [
      separator,
      segment,
    ]),
    ending,
  )
  .map((parts) => parts.join(''))
  .filter((target) => /^(?:\/|http)/.test(target));

/** What the router takes for a path of ours: encoded once at most. */
const ours = fc
  .tuple(
    mostly('/', fc.constantFrom('//', '/./', '/x/../', '/%2e/')),
    mostly('_holdover', fc.oneof(encoded('_holdover', 1), inOtherCase('_holdover'))),
    mostly('/', fc.constantFrom('//', '%2F', '/./', '/x/../')),
    fc.constantFrom('', 'healthz', 'readyz', 'x?y', 'a/b'),
  )
  .map((parts) => parts.join(''));

describe.each(['node', 'workerd'] as const)('on %s', (runtime) => {
  let redis: RedisServer;
  let origin: RawOrigin;
  let holdover: Holdover;
  let authorization: string;

  beforeAll(async () => {
    redis = await startRedis();
    await loadDirectory(redis.url, readFileSync('test/contract/directory.json', 'utf8'));
    origin = await openRawOrigin((socket) => socket.end('HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nto origin'));
    holdover = await startHoldover(runtime, {
      // Nobody here may remove anybody: no call ever gets to a backend.
      BACKEND_URL: 'http://127.0.0.1:1/v1',
      BACKEND_CREDENTIALS: '{"page": {"token": "x"}}',
      LEGACY_TOKEN_SECRET: SECRET,
      LEGACY_ORIGIN_URL: origin.url,
      ORGANIZATIONS: 'redis',
      REDIS_URL: redis.url,
      RATE_LIMIT: 'off',
      RATE_LIMIT_UNAUTHENTICATED: 'off',
    });
    const claims = toClaims({ user_id: 'nobody', scope: ['cloud_controller.read', 'cloud_controller.write'] });
    authorization = `bearer ${await signToken(claims, createSecret(SECRET))}`;
  });
  afterAll(async () => {
    await holdover.stop();
    await origin.close();
    await redis.stop();
  });

  const send = (method: string, target: string) =>
    rawRequest(holdover.url, { method, target, headers: { Authorization: authorization } });

  /** Sends `target`, which must be refused here, and never get further. */
  const staysHere = async (method: string, target: string) => {
    const before = origin.received.length;
    const { status } = await send(method, target);
    expect([target, origin.received.slice(before)]).toEqual([target, []]);
    // 403: read as the removal. 404: guarded, or held back. 400: no HTTP; workerd says 500 for that.
    expect([400, 403, 404, ...(runtime === 'workerd' ? [500] : [])], target).toContain(status);
  };

  it('passes on a removal in an organization that has not moved, and any other call', async () => {
    for (const target of [`/v2/organizations/${NOT_MOVED}/users/uaa-id-110`, `/v2/organizations/${MOVED}/auditors/x`]) {
      expect((await send('DELETE', target)).body.toString()).toBe('to origin');
    }
  });

  it('never passes on a spelling of a removal in an organization that has moved', async () => {
    await fc.assert(
      fc.asyncProperty(removal, (target) => staysHere('DELETE', target)),
      RUNS[runtime],
    );
  });

  it('never passes on a spelling of a path of ours', async () => {
    const methods = fc.constantFrom('GET', 'HEAD', 'POST', 'DELETE');
    await fc.assert(
      fc.asyncProperty(methods, ours, (method, target) => staysHere(method, target)),
      { ...RUNS[runtime], numRuns: 100 },
    );
  });
});
