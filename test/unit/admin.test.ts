/** The admin endpoints: what an orchestrator may conclude from them, and who may ask on Workers. */
import { describe, expect, it } from 'vitest';
import { type Admin, createAdmin, type Readiness } from '../../src/admin.ts';

const READY: Readiness = { isReady: true, isDraining: false, dependencies: { redis: 'up', backend: 'open' } };

const TOKEN = 'an-admin-token-of-some-length';

async function ask(
  admin: Admin,
  path: string,
  init?: RequestInit,
): Promise<{ status: number; body: unknown } | undefined> {
  const response = await admin(new Request(`http://127.0.0.1:9090${path}`, init));
  return response && { status: response.status, body: await response.json() };
}

describe('on Node', () => {
  let readiness = READY;
  const admin = createAdmin({
    readiness: () => readiness,
    metrics: async () => ({ contentType: 'text/plain; version=0.0.4', text: 'holdover 1\n' }),
  });

  it.each<[string, Partial<Readiness>]>([
    ['ready', {}],
    ['starting', { isReady: false }],
    ['draining', { isDraining: true }],
    ['without its dependencies', { dependencies: { redis: 'down', backend: 'down' } }],
  ])('is alive while %s', async (_, change) => {
    readiness = { ...READY, ...change };
    expect(await ask(admin, '/healthz')).toEqual({ status: 200, body: { status: 'alive' } });
  });

  it('is ready although every dependency is down, and says so', async () => {
    const dependencies = { redis: 'down', backend: 'down' };
    readiness = { ...READY, dependencies };
    expect(await ask(admin, '/readyz')).toEqual({ status: 200, body: { status: 'ready', dependencies } });
  });

  it('is not ready before the first directory and keys, nor while draining', async () => {
    readiness = { ...READY, isReady: false };
    expect(await ask(admin, '/readyz')).toMatchObject({ status: 503, body: { status: 'starting' } });
    readiness = { ...READY, isDraining: true };
    expect(await ask(admin, '/readyz')).toMatchObject({ status: 503, body: { status: 'draining' } });
  });

  it('gives its metrics as they are', async () => {
    const response = await admin(new Request('http://127.0.0.1:9090/metrics'));
    expect([response?.status, response?.headers.get('content-type'), await response?.text()]).toEqual([
      200,
      'text/plain; version=0.0.4',
      'holdover 1\n',
    ]);
  });

  it('answers HEAD, and nothing else', async () => {
    readiness = READY;
    expect((await admin(new Request('http://127.0.0.1:9090/readyz', { method: 'HEAD' })))?.status).toBe(200);
    for (const path of ['/', '/healthz/', '/Healthz', '/_holdover/healthz'])
      expect(await ask(admin, path)).toBeUndefined();
    expect(await ask(admin, '/healthz', { method: 'POST' })).toBeUndefined();
  });
});

describe('on Workers', () => {
  const admin = createAdmin({ readiness: () => READY, pathPrefix: '/_holdover', token: TOKEN });
  const withHeader = (authorization: string) => ({ headers: { Authorization: authorization } });

  it.each(['Bearer', 'bearer', 'BEARER'])('answers whoever has the token, scheme %s', async (scheme) => {
    const init = withHeader(`${scheme} ${TOKEN}`);
    expect(await ask(admin, '/_holdover/healthz', init)).toMatchObject({ status: 200 });
    expect(await ask(admin, '/_holdover/readyz', init)).toMatchObject({ status: 200 });
  });

  it('has no metrics', async () => {
    expect(await ask(admin, '/_holdover/metrics', withHeader(`Bearer ${TOKEN}`))).toBeUndefined();
    expect(await ask(admin, '/healthz', withHeader(`Bearer ${TOKEN}`))).toBeUndefined();
  });

  it.each([
    ['another token', `Bearer ${TOKEN}x`],
    ['a part of it', `Bearer ${TOKEN.slice(0, -1)}`],
    ['another case', `Bearer ${TOKEN.toUpperCase()}`],
    ['another scheme', `Basic ${TOKEN}`],
    ['two spaces', `Bearer  ${TOKEN}`],
    ['nothing', 'Bearer'],
    ['only the token', TOKEN],
  ])('is not there for %s', async (_, authorization) => {
    expect(await ask(admin, '/_holdover/healthz', withHeader(authorization))).toBeUndefined();
  });

  it('is not there without a token', async () => {
    expect(await ask(admin, '/_holdover/readyz')).toBeUndefined();
  });
});
