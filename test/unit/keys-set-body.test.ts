import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type KeyServer, startKeyServer } from '../support/key-server.ts';
import { createEcKey, createRsaKey, createSecret, signToken, toClaims } from '../support/tokens.ts';
import { createVerifier } from '../support/verifier.ts';

const rsa = createRsaKey({ kid: 'rsa' });
const ec = createEcKey({ kid: 'ec' });

let server: KeyServer;
beforeAll(async () => {
  server = await startKeyServer();
});
afterAll(() => server.close());

/** How a token fares with a set of these entries, and what was said of the entries left out. */
async function verifyBy(entries: readonly unknown[], token: string) {
  server.publish(entries);
  const verifier = createVerifier({ url: server.url });
  const verdict = await verifier.present(token);
  return { verdict, written: JSON.stringify(verifier.lines), keys: verifier.keySet.status().keys };
}

const { n = '', e = '' } = rsa.jwk;

describe('a key set', () => {
  it.each(['RS256', 'RS384', 'RS512'] as const)('verifies %s by an RSA key that names no algorithm', async (alg) => {
    const { alg: _, ...jwk } = rsa.jwk;
    expect((await verifyBy([jwk], await signToken(toClaims(), { ...rsa, alg }))).verdict).toBe('accepted');
  });

  it('verifies ES256 by an EC key', async () => {
    expect((await verifyBy([rsa.jwk, ec.jwk], await signToken(toClaims(), ec))).verdict).toBe('accepted');
  });

  it('holds a key to the algorithm it names', async () => {
    const token = await signToken(toClaims(), { ...rsa, alg: 'RS512' });
    expect((await verifyBy([{ ...rsa.jwk, alg: 'RS256' }], token)).verdict).toBe('key-unknown');
    expect((await verifyBy([{ ...rsa.jwk, alg: 'RS512' }], token)).verdict).toBe('accepted');
  });

  it.each([
    ['as UAA writes it', { kty: 'RSA', e, use: 'sig', kid: 'rsa', alg: 'RS256', value: rsa.pem, n }],
    [
      'with Java’s name of the algorithm',
      { kty: 'RSA', e, use: 'sig', kid: 'rsa', alg: 'SHA256withRSA', value: rsa.pem, n },
    ],
    ['with n and e, whatever else', { ...rsa.jwk, value: 'no PEM' }],
    ['with only the PEM', { kty: 'RSA', kid: 'rsa', alg: 'SHA256withRSA', value: rsa.pem }],
    [
      'with a sign byte before n',
      { ...rsa.jwk, n: Buffer.concat([Buffer.of(0), Buffer.from(n, 'base64url')]).toString('base64url') },
    ],
    [
      'with null for what is not set',
      { kty: 'RSA', kid: 'rsa', n, e, alg: null, use: null, value: null, key_ops: null },
    ],
    ['with members of other standards', { ...rsa.jwk, key_ops: ['verify'], ext: false, x5c: ['MII'], issuer: 'x' }],
    ['with the private half, which is left behind', { ...rsa.jwk, d: 'AQAB', p: 'x' }],
  ])('reads an RSA key %s', async (_, entry) => {
    const { verdict, written } = await verifyBy([entry], await signToken(toClaims(), rsa));
    expect(verdict).toBe('accepted');
    expect(written).toBe('[]');
  });

  it.each([
    ['for encryption', { ...rsa.jwk, use: 'enc' }, 'not for signatures'],
    ['for signing only', { ...rsa.jwk, key_ops: ['sign'] }, 'not for verifying'],
    ['for an algorithm that is not accepted', { ...rsa.jwk, alg: 'PS256' }, 'for an algorithm that is not accepted'],
    ['for an algorithm of another kind of key', { ...rsa.jwk, alg: 'ES256' }, 'for an algorithm that is not accepted'],
    ['for an HMAC', { ...rsa.jwk, alg: 'HS256' }, 'for an algorithm that is not accepted'],
    ['for none', { ...rsa.jwk, alg: 'none' }, 'for an algorithm that is not accepted'],
    ['of 1024 bits', createRsaKey({ kid: 'rsa', bits: 1024 }).jwk, 'an RSA key of 1024 bits'],
    ['of 1024 bits in PEM', { kty: 'RSA', value: createRsaKey({ bits: 1024 }).pem }, 'an RSA key of 1024 bits'],
    [
      'of 2047 bits and a zero byte',
      {
        ...rsa.jwk,
        n: Buffer.concat([Buffer.of(0), Buffer.alloc(1, 0x7f), Buffer.alloc(255, 0xff)]).toString('base64url'),
      },
      'an RSA key of 2047 bits',
    ],
    ['with exponent 1', { ...rsa.jwk, e: 'AQ' }, 'whose exponent is even or below 3'],
    ['with exponent 0', { ...rsa.jwk, e: 'AA' }, 'whose exponent is even or below 3'],
    ['without n', { ...rsa.jwk, n: undefined }, 'without a readable n and e'],
    ['with an n that is no base64url', { ...rsa.jwk, n: '!!!' }, 'without a readable n and e'],
    ['with an empty e', { ...rsa.jwk, e: '' }, 'without a readable n and e'],
    ['with a number for e', { ...rsa.jwk, e: 65_537 }, 'without a readable n and e'],
    ['with a broken PEM', { kty: 'RSA', value: 'c2VjcmV0' }, 'no PEM of an RSA or EC key'],
    ['on another curve', { ...ec.jwk, crv: 'P-384', alg: undefined }, 'a curve other than P-256'],
    ['without a y', { ...ec.jwk, y: undefined }, 'an EC key without x and y'],
    ['off its curve', { ...ec.jwk, y: ec.jwk.x }, 'refused by the runtime'],
    ['of another kind', { kty: 'OKP', crv: 'Ed25519', x: ec.jwk.x }, 'a kind other than RSA and EC'],
    ['without a kind', { n, e }, 'no JWK'],
    ['with a number for its kid', { ...rsa.jwk, kid: 7 }, 'no JWK'],
    ['which is a string', 'RSA', 'no JWK'],
    ['which is null', null, 'no JWK'],
    ['which is a secret', { kty: 'oct', k: 'c2VjcmV0', alg: 'HS256' }, 'symmetric'],
    ['which is a secret of UAA', { kty: 'MAC', value: 'c2VjcmV0', alg: 'HMACSHA256' }, 'symmetric'],
  ])('leaves out a key %s, says so, and serves the others', async (_, entry, reason) => {
    const other = createEcKey({ kid: 'other' });
    const { verdict, written, keys } = await verifyBy([entry, other.jwk], await signToken(toClaims(), other));
    expect(verdict).toBe('accepted');
    expect(keys).toBe(1);
    expect(written).toContain('key 1 is ');
    expect(written).toContain(reason);
    expect(written).not.toContain('c2VjcmV0');
  });

  it('names the first few of many that are left out', async () => {
    const { written } = await verifyBy([...Array(1000).fill(null), rsa.jwk], await signToken(toClaims(), rsa));
    expect(written).toContain('key 8 is no JWK; and others');
  });

  it('never verifies by a secret that stands in it', async () => {
    const secret = 'a secret of more than thirty-two bytes';
    const entry = { kty: 'oct', k: Buffer.from(secret).toString('base64url'), alg: 'HS256', kid: 'hs', use: 'sig' };
    const token = await signToken(toClaims(), { ...createSecret(secret), kid: 'hs' });
    expect((await verifyBy([entry, rsa.jwk], token)).verdict).toBe('key-unknown');
  });

  it('never verifies by a public key of its own taken for a secret', async () => {
    for (const text of [rsa.pem, n, JSON.stringify(rsa.jwk)]) {
      const token = await signToken(toClaims(), { ...createSecret(text), kid: 'rsa' });
      expect((await verifyBy([{ ...rsa.jwk, value: rsa.pem }], token)).verdict).toBe('key-unknown');
    }
  });

  it('tries a key without a kid only for a token without one', async () => {
    const { kid: _, ...jwk } = rsa.jwk;
    expect((await verifyBy([jwk], await signToken(toClaims(), rsa))).verdict).toBe('key-unknown');
    expect((await verifyBy([jwk], await signToken(toClaims(), { ...rsa, kid: undefined }))).verdict).toBe('accepted');
  });

  it('tries every key that has the kid of the token', async () => {
    const twin = createRsaKey({ kid: 'rsa' });
    for (const key of [rsa, twin]) {
      expect((await verifyBy([rsa.jwk, twin.jwk], await signToken(toClaims(), key))).verdict).toBe('accepted');
    }
  });

  it('refuses a token that names the kid of another key', async () => {
    const token = await signToken(toClaims(), { ...rsa, kid: 'other' });
    expect((await verifyBy([rsa.jwk, { ...createRsaKey().jwk, kid: 'other' }], token)).verdict).toBe('signature-wrong');
  });

  it('tries at most 8 keys for a token without a kid, each once', async () => {
    const keys = Array.from({ length: 9 }, (_, index) => createEcKey({ kid: `${index}` }));
    // Keys that do not fit, and one that stands there twice, take no one's place.
    const entries = [rsa.jwk, { ...keys[0]?.jwk, kid: 'again' }, ...keys.map(({ jwk }) => jwk)];
    const [eighth, ninth] = keys.slice(7);
    if (!eighth || !ninth) throw new Error('nine keys were made');
    expect((await verifyBy(entries, await signToken(toClaims(), { ...eighth, kid: undefined }))).verdict).toBe(
      'accepted',
    );
    expect((await verifyBy(entries, await signToken(toClaims(), { ...ninth, kid: undefined }))).verdict).toBe(
      'signature-wrong',
    );
    expect((await verifyBy(entries, await signToken(toClaims(), ninth))).verdict).toBe('accepted');
  });
});
