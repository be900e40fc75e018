/** Variables and secrets as they reach a Worker: with its first request. What each may hold: test/unit/config.test.ts. */
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { type Environment, type Holdover, startOnWorkerd } from '../support/holdover.ts';
import { startKeyServer } from '../support/key-server.ts';
import { canOwnRedis } from '../support/redis.ts';
import { type Client, openClient, openSurroundings, type Surroundings } from '../support/surroundings.ts';
import { createEcKey, createRsaKey, signToken, toClaims } from '../support/tokens.ts';

/** Its keys stand as the old server's handler of unknown exceptions had them (legacy.md, section 4.1). */
const UNKNOWN_ERROR = `{
  "error_code": "UnknownError",
  "description": "An unknown error occurred.",
  "code": 10001
}
`;

describe.skipIf(!(await canOwnRedis()))('a Worker', () => {
  let around: Surroundings;
  let holdover: Holdover;
  let client: Client;

  beforeAll(async () => {
    around = await openSurroundings();
  });
  afterAll(() => around.close());
  afterEach(async () => {
    client.close();
    await holdover.stop();
    expect(holdover.noise).toEqual([]);
  });

  /** A variable that is `undefined` is not set. */
  async function start(changes: Readonly<Record<string, string | undefined>> = {}): Promise<void> {
    const env = Object.entries({ ...around.env, ...changes }).filter(([, value]) => value !== undefined);
    holdover = await startOnWorkerd(Object.fromEntries(env) as Environment);
    client = openClient(holdover.url);
  }

  describe('that is not configured', () => {
    /** The one line that its requests leave. */
    async function findMistakes(): Promise<readonly string[]> {
      for (const request of [{}, { token: null }, { method: 'GET', path: '/v2/info' }]) {
        const answer = await client.send(request);
        expect(answer).toMatchObject({
          status: 500,
          headers: { 'content-type': 'application/json;charset=utf-8', 'x-content-type-options': 'nosniff' },
          body: UNKNOWN_ERROR,
        });
        expect(answer.headers['x-vcap-request-id']).toMatch(/^[\da-f-]{36}$/);
      }
      await holdover.waitForLine((line) => line['level'] === 'error');
      expect(holdover.lines).toHaveLength(1);
      return holdover.lines[0]?.['mistakes'] as string[];
    }

    it('tells clients nothing else, and the log every mistake at once', async () => {
      await start(Object.fromEntries(Object.keys(around.env).map((name) => [name, undefined])));
      const mistakes = await findMistakes();
      const named = ['BACKEND_URL', 'BACKEND_CREDENTIALS', 'LEGACY_TOKEN_SECRET', 'ORGANIZATIONS', 'REDIS_URL'];
      for (const name of named) expect(mistakes.join('\n')).toContain(name);
      expect(mistakes).toHaveLength(named.length);
    });

    it('says that a Worker has no files', async () => {
      await start({ ORGANIZATIONS: 'file:organizations.json' });
      expect(await findMistakes()).toEqual([expect.stringMatching(/^ORGANIZATIONS: .*redis.*no files/)]);
    });

    it('says that a Redis Cluster needs Node', async () => {
      await start({ REDIS_URL: 'redis://:hidden@10.0.0.1:7000,redis://:hidden@10.0.0.2:7000' });
      const mistakes = await findMistakes();
      expect(mistakes).toEqual([expect.stringMatching(/^REDIS_URL: .*Redis Cluster needs Node/)]);
      expect(mistakes.join()).not.toContain('hidden');
    });

    it('says that a public key cannot be used', async () => {
      const { pem } = createRsaKey({ bits: 1024 });
      await start({ LEGACY_TOKEN_SECRET: undefined, LEGACY_TOKEN_PUBLIC_KEY: pem });
      expect(await findMistakes()).toEqual([expect.stringMatching(/^LEGACY_TOKEN_PUBLIC_KEY: key 1 /)]);
    });
  });

  describe('verifies tokens', () => {
    const rsa = createRsaKey();
    const ec = createEcKey({ kid: 'second' });

    it('with public keys whose line ends are written as \\n', async () => {
      const pems = (rsa.pem + ec.pem).replaceAll('\n', '\\n');
      await start({ LEGACY_TOKEN_SECRET: undefined, LEGACY_TOKEN_PUBLIC_KEY: pems });
      for (const key of [rsa, ec]) {
        expect((await client.send({ token: await signToken(toClaims(), key) })).status, key.alg).toBe(201);
      }
      const stranger = await signToken(toClaims(), createRsaKey());
      expect(await client.send({ token: stranger })).toMatchObject({ status: 401, code: 1000 });
    });

    it('with the keys of a key set, and finds one that was added', async () => {
      const first = createRsaKey({ kid: 'first' });
      const keys = await startKeyServer([first.jwk]);
      await start({ LEGACY_TOKEN_SECRET: undefined, LEGACY_TOKEN_KEYS_URL: keys.url });
      expect((await client.send({ token: await signToken(toClaims(), first) })).status).toBe(201);
      keys.publish([first.jwk, ec.jwk]);
      expect((await client.send({ token: await signToken(toClaims(), ec) })).status).toBe(201);
      expect(keys.asked).toHaveLength(2);
      await keys.close();
    });
  });

  it('takes a credential from a secret of its own', async () => {
    const separate = JSON.stringify({ client_id: 'page', client_secret: 'secret of page' });
    await start({ BACKEND_CREDENTIALS: undefined, BACKEND_CREDENTIAL_PAGE: separate });
    expect((await client.send()).status).toBe(201);
  });

  describe('under /_holdover/', () => {
    const ADMIN_TOKEN = 'an-admin-token-of-some-length';
    const ask = (path: string, token: string | null) =>
      client.send({ method: 'GET', path: `/_holdover/${path}`, token });
    const NOTHING = { status: 404, code: 10000 };

    it('is not there without ADMIN_TOKEN', async () => {
      await start();
      for (const path of ['healthz', 'readyz', 'metrics', '']) {
        expect(await ask(path, ADMIN_TOKEN)).toMatchObject(NOTHING);
        expect(await ask(path, null)).toMatchObject(NOTHING);
      }
    });

    it('is there for whoever has ADMIN_TOKEN, and for nobody else', async () => {
      await start({ ADMIN_TOKEN });
      expect(await ask('healthz', ADMIN_TOKEN)).toMatchObject({ status: 200, body: '{"status":"alive"}\n' });
      const { status, body } = await ask('readyz', ADMIN_TOKEN);
      expect([status, JSON.parse(body)]).toMatchObject([
        200,
        { status: 'ready', dependencies: { directory: { isLoaded: true }, backend: { breaker: 'closed' } } },
      ]);
      for (const token of [null, `${ADMIN_TOKEN}x`, ADMIN_TOKEN.slice(1)]) {
        for (const path of ['healthz', 'readyz']) expect(await ask(path, token)).toMatchObject(NOTHING);
      }
      for (const path of ['metrics', 'healthz/', '']) expect(await ask(path, ADMIN_TOKEN)).toMatchObject(NOTHING);
    });

    it('is alive, and not ready, before the first keys', async () => {
      const keys = await startKeyServer();
      keys.answer(503, 'not now');
      await start({ ADMIN_TOKEN, LEGACY_TOKEN_SECRET: undefined, LEGACY_TOKEN_KEYS_URL: keys.url });
      expect((await ask('healthz', ADMIN_TOKEN)).status).toBe(200);
      expect(keys.asked).toHaveLength(0);
      const { status, body } = await ask('readyz', ADMIN_TOKEN);
      expect([status, JSON.parse(body)]).toMatchObject([503, { status: 'starting' }]);
      await keys.close();
    });
  });
});
