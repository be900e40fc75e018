import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { FAILURE_COOLDOWN_MS, MAX_STALE_MS, REFRESH_MS, UNKNOWN_KID_COOLDOWN_MS } from '../../src/keys/key-set.ts';
import { type KeyServer, startKeyServer } from '../support/key-server.ts';
import { createEcKey, createRsaKey, createSecret, signToken, toClaims } from '../support/tokens.ts';
import { createVerifier, type Verifier } from '../support/verifier.ts';

const first = createEcKey({ kid: 'first' });
const second = createEcKey({ kid: 'second' });
const rsa = createRsaKey({ kid: 'rsa' });
const signedByRsa = await signToken(toClaims(), rsa);
const token = await signToken(toClaims(), first);
const rotated = await signToken(toClaims(), second);
const anotherTokenOf = (key: typeof first) => signToken(toClaims({ jti: `${Math.random()}` }), key);

let server: KeyServer;
let verifier: Verifier;
beforeEach(async () => {
  server = await startKeyServer([first.jwk]);
  verifier = createVerifier({ url: server.url });
});
afterEach(async () => {
  await verifier.settle();
  await server.close();
});

/** The path of each fetch since the last call, when nothing is under way any more. */
async function fetches(): Promise<number> {
  await verifier.settle();
  const count = server.asked.length;
  server.forget();
  return count;
}

const pass = (ms: number) => {
  verifier.clock.monotonicMs += ms;
};

const unknownKid = () => signToken(toClaims(), { ...first, kid: `invented ${Math.random()}` });

describe('a key set that answers', () => {
  it('is fetched when the first token needs it, and not before', async () => {
    expect(await fetches()).toBe(0);
    expect(await verifier.present(token)).toBe('accepted');
    expect(server.asked).toEqual(['/token_keys']);
  });

  it('is fetched once by 50 cold concurrent requests', async () => {
    const tokens = await Promise.all(Array.from({ length: 50 }, () => anotherTokenOf(first)));
    const verdicts = await Promise.all(tokens.map((each) => verifier.present(each)));
    expect(new Set(verdicts)).toEqual(new Set(['accepted']));
    expect(await fetches()).toBe(1);
  });

  it('is not fetched for what no key of a set could verify', async () => {
    for (const odd of ['a.b.c', 'x', await signToken(toClaims(), createSecret('s'.repeat(32)))])
      await verifier.present(odd);
    expect(await fetches()).toBe(0);
  });

  it('is kept for five minutes, then served as it is while it is fetched in the background', async () => {
    await verifier.present(token);
    pass(REFRESH_MS - 1);
    await verifier.present(token);
    await verifier.present(await anotherTokenOf(first));
    expect(await fetches()).toBe(1);

    pass(1);
    server.hold();
    const tokens = await Promise.all(Array.from({ length: 50 }, () => anotherTokenOf(first)));
    const verdicts = await Promise.all(tokens.map((each) => verifier.present(each)));
    expect(new Set(verdicts)).toEqual(new Set(['accepted']));
    server.release();
    expect(await fetches()).toBe(1);
    await verifier.present(token);
    expect(await fetches()).toBe(0);
  });

  it('is refreshed by requests whose tokens are all remembered', async () => {
    await verifier.present(token);
    await fetches();
    pass(REFRESH_MS);
    await verifier.present(token);
    expect(verifier.counts.hits).toBe(1);
    expect(await fetches()).toBe(1);
  });

  it('refuses a token signed by a key that was rotated out, though it was verified before', async () => {
    await verifier.present(token);
    server.publish([second.jwk]);
    pass(REFRESH_MS);
    await verifier.present(token);
    await verifier.settle();
    expect(await verifier.present(token)).toBe('key-unknown');
    expect(await verifier.present(rotated)).toBe('accepted');
  });

  it('remembers what a key verified over a refresh, and over a change of its kid', async () => {
    await verifier.present(token);
    server.publish([second.jwk, { ...first.jwk, kid: 'renamed' }]);
    pass(REFRESH_MS);
    await verifier.present(token);
    await verifier.settle();
    expect(await verifier.present(token)).toBe('accepted');
    expect(verifier.counts.hits).toBe(2);
  });

  it('takes a key written with a zero byte before n for the same key', async () => {
    const { n = '' } = rsa.jwk;
    const padded = Buffer.concat([Buffer.of(0), Buffer.from(n, 'base64url')]).toString('base64url');
    server.publish([rsa.jwk]);
    await verifier.present(signedByRsa);
    server.publish([{ ...rsa.jwk, n: padded }]);
    pass(REFRESH_MS);
    await verifier.present(signedByRsa);
    await verifier.settle();
    expect(await verifier.present(signedByRsa)).toBe('accepted');
    expect(verifier.counts.hits).toBe(2);
  });

  it('takes a key that now serves another algorithm for another key', async () => {
    server.publish([rsa.jwk]);
    expect(await verifier.present(signedByRsa)).toBe('accepted');
    server.publish([{ ...rsa.jwk, alg: 'RS512' }]);
    pass(REFRESH_MS);
    await verifier.present(signedByRsa);
    await verifier.settle();
    expect(await verifier.present(signedByRsa)).toBe('key-unknown');
  });
});

describe('an unknown kid', () => {
  it('has the set fetched at once, so that a rotation is seen with its first token', async () => {
    await verifier.present(token);
    server.publish([first.jwk, second.jwk]);
    expect(await verifier.present(rotated)).toBe('accepted');
    expect(await fetches()).toBe(2);
  });

  it('is fetched for once by 50 concurrent requests', async () => {
    await verifier.present(token);
    server.publish([second.jwk]);
    const tokens = await Promise.all(Array.from({ length: 50 }, () => anotherTokenOf(second)));
    const verdicts = await Promise.all(tokens.map((each) => verifier.present(each)));
    expect(new Set(verdicts)).toEqual(new Set(['accepted']));
    expect(await fetches()).toBe(2);
  });

  it('is refused, and fetched for at most every 30 seconds whatever is invented', async () => {
    await verifier.present(token);
    await fetches();
    for (let index = 0; index < 20; index += 1) expect(await verifier.present(await unknownKid())).toBe('key-unknown');
    expect(await fetches()).toBe(1);
    pass(UNKNOWN_KID_COOLDOWN_MS - 1);
    await verifier.present(await unknownKid());
    expect(await fetches()).toBe(0);
    pass(1);
    await verifier.present(await unknownKid());
    expect(await fetches()).toBe(1);
  });

  it('is not fetched for again where it was what had the set fetched first', async () => {
    expect(await verifier.present(await unknownKid())).toBe('key-unknown');
    expect(await fetches()).toBe(1);
  });

  it('is refused, not unavailable, where the set cannot be fetched again', async () => {
    await verifier.present(token);
    server.answer(500, '');
    expect(await verifier.present(rotated)).toBe('key-unknown');
    expect(await fetches()).toBe(2);
  });

  it('waits out the cooldown of a failed fetch', async () => {
    await verifier.present(token);
    server.answer(500, '');
    pass(REFRESH_MS);
    await verifier.present(token);
    await fetches();
    expect(await verifier.present(rotated)).toBe('key-unknown');
    expect(await fetches()).toBe(0);
    server.publish([first.jwk, second.jwk]);
    pass(FAILURE_COOLDOWN_MS);
    expect(await verifier.present(rotated)).toBe('accepted');
  });

  it('does not let a refresh that is under way count as its own fetch', async () => {
    await verifier.present(token);
    pass(REFRESH_MS);
    server.hold();
    await verifier.present(token);
    const early = verifier.present(rotated);
    server.release();
    expect(await early).toBe('key-unknown');
    server.publish([second.jwk]);
    expect(await verifier.present(rotated)).toBe('accepted');
    expect(await fetches()).toBe(3);
  });
});

describe('a key set that was never loaded', () => {
  it('makes a well-formed token unavailable and leaves a malformed one refused', async () => {
    server.answer(503, '');
    expect(await verifier.present(token)).toBe('unavailable');
    expect(await verifier.present('a.b.c')).toBe('header-unreadable');
    expect(await verifier.present('nonsense')).toBe('not-a-compact-jws');
    expect(await verifier.present(await signToken(toClaims({ exp: 1 }), first))).toBe('expired');
    expect(await verifier.present(await signToken(toClaims(), createSecret('s'.repeat(32))))).toBe('key-unknown');
  });

  it('is asked for once by 50 concurrent requests, and then not for 5 seconds', async () => {
    server.answer(503, '');
    const verdicts = await Promise.all(Array.from({ length: 50 }, () => verifier.present(token)));
    expect(new Set(verdicts)).toEqual(new Set(['unavailable']));
    pass(FAILURE_COOLDOWN_MS - 1);
    expect(await verifier.present(token)).toBe('unavailable');
    expect(await fetches()).toBe(1);
    server.publish([first.jwk]);
    pass(1);
    expect(await verifier.present(token)).toBe('accepted');
  });

  it('says that it is not ready, and is loaded by asking for readiness', async () => {
    server.answer(503, '');
    expect(verifier.keySet.status()).toEqual({ isReady: false, keys: 0, ageSeconds: undefined, failure: undefined });
    expect(await verifier.keySet.prime(verifier.scope)).toMatchObject({
      failure: { dependency: 'key-set', reason: 'status 503' },
    });
    expect(verifier.keySet.status()).toEqual({ isReady: false, keys: 0, ageSeconds: undefined, failure: 'status 503' });
    server.publish([first.jwk, second.jwk]);
    pass(FAILURE_COOLDOWN_MS);
    expect(await verifier.keySet.prime(verifier.scope)).toEqual({ ok: true, value: undefined });
    pass(1500);
    expect(verifier.keySet.status()).toEqual({ isReady: true, keys: 2, ageSeconds: 1, failure: undefined });
    await fetches();
    await verifier.keySet.prime(verifier.scope);
    expect(await fetches()).toBe(0);
  });
});

describe('a key set that fails', () => {
  const failures: [string, () => unknown, string][] = [
    ['answers 500', () => server.answer(500, JSON.stringify({ keys: [second.jwk] })), 'status 500'],
    ['answers 204', () => server.answer(204, ''), 'status 204'],
    ['redirects', () => server.answer(302, '', { Location: `${server.url}/elsewhere` }), 'status 302'],
    ['answers no JSON', () => server.answer(200, '<html>'), 'no key set in the answer'],
    ['answers something else', () => server.answer(200, '{"keys":{}}'), 'no key set in the answer'],
    ['answers null', () => server.answer(200, 'null'), 'no key set in the answer'],
    ['answers an empty set', () => server.publish([]), 'no key that is fit: '],
    ['answers only unfit keys', () => server.publish([{ kty: 'oct' }]), 'no key that is fit: key 1 is symmetric'],
    [
      'answers more than 256 KiB',
      () => server.answer(200, JSON.stringify({ keys: [second.jwk], pad: 'x'.repeat(256 * 1024) })),
      'more than 262144 bytes',
    ],
    ['refuses connections', () => server.close(), 'no answer: '],
  ];

  it.each(failures)('because it %s keeps the keys it had', async (_, breakIt, reason) => {
    await verifier.present(token);
    await fetches();
    await breakIt();
    pass(REFRESH_MS);
    expect(await verifier.present(await anotherTokenOf(first))).toBe('accepted');
    await verifier.settle();
    expect(await verifier.present(token)).toBe('accepted');
    expect(verifier.keySet.status()).toMatchObject({ isReady: true, keys: 1 });
    expect(verifier.keySet.status().failure).toContain(reason);
    expect(verifier.counts.stale).toBe(1);
    expect(server.asked.filter((path) => path !== '/token_keys')).toEqual([]);
  });

  it('is asked again after 5 seconds, not before, and one line is written for each change', async () => {
    await verifier.present(token);
    await fetches();
    server.answer(500, '');
    pass(REFRESH_MS);
    for (let seconds = 0; seconds < 60; seconds += 1) {
      await verifier.present(token);
      await verifier.settle();
      pass(1000);
    }
    expect(await fetches()).toBe(12);
    server.publish([first.jwk]);
    await verifier.present(token);
    await verifier.settle();
    const lines = verifier.lines.map(({ level, message }) => `${level}: ${message}`);
    expect(lines).toEqual(['warn: the key set could not be loaded', 'info: the key set was loaded again']);
  });

  it('is served stale for 24 hours and not a moment longer, remembered tokens included', async () => {
    await verifier.present(token);
    server.answer(500, '');
    pass(MAX_STALE_MS);
    expect(await verifier.present(token)).toBe('accepted');
    await verifier.settle();
    expect(await verifier.present(await anotherTokenOf(first))).toBe('accepted');
    pass(1);
    expect(await verifier.present(token)).toBe('unavailable');
    expect(await verifier.present(await anotherTokenOf(first))).toBe('unavailable');
    expect(await verifier.present(await unknownKid())).toBe('unavailable');
    expect(await verifier.present('a.b.c')).toBe('header-unreadable');
    server.publish([first.jwk]);
    pass(FAILURE_COOLDOWN_MS);
    expect(await verifier.present(token)).toBe('accepted');
  });

  it('writes one line for the keys it leaves out, not one for each refresh', async () => {
    server.publish([first.jwk, { kty: 'oct' }]);
    for (let refresh = 0; refresh < 3; refresh += 1) {
      await verifier.present(token);
      await verifier.settle();
      pass(REFRESH_MS);
    }
    expect(verifier.lines.map(({ message }) => message)).toEqual(['keys of the key set were left out']);
  });
});
