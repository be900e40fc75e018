import { createHash, generateKeyPairSync, type KeyObject, sign, X509Certificate } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { parsePublicKeys } from '../../src/keys/public-keys.ts';
import { createSecretKeyRing, MIN_SECRET_BYTES } from '../../src/keys/secret.ts';
import { createVerificationKey } from '../../src/keys/verification-key.ts';
import { createAuthenticate, type KeyRing } from '../../src/policy/authenticate.ts';
import { createEcKey, createRsaKey, createSecret, type SigningKey, signToken, toClaims } from '../support/tokens.ts';

/** Why a token signed by `key` is refused; undefined where it is accepted. */
async function refusalOf(ring: KeyRing<unknown>, key: SigningKey): Promise<string | undefined> {
  const authenticate = createAuthenticate<unknown>({
    keys: ring,
    issuer: undefined,
    audience: 'cloud_controller',
    epochSeconds: () => Date.now() / 1000,
    sha256: (text) => createHash('sha256').update(text).digest('hex'),
    onCacheLookup() {},
  });
  const result = await authenticate(`bearer ${await signToken(toClaims(), key)}`, undefined);
  if (result.ok) return undefined;
  return result.failure.kind === 'token-invalid' ? result.failure.reason : result.failure.kind;
}

const spki = (key: KeyObject) => key.export({ format: 'pem', type: 'spki' }) as string;

describe('a secret', () => {
  it.each([
    [31, []],
    [32, ['HS256']],
    [47, ['HS256']],
    [48, ['HS256', 'HS384']],
    [63, ['HS256', 'HS384']],
    [64, ['HS256', 'HS384', 'HS512']],
    [200, ['HS256', 'HS384', 'HS512']],
  ])('of %i bytes accepts only hashes that are no longer than itself: %j', async (bytes, accepted) => {
    const secret = new Uint8Array(bytes).fill(7);
    const ring = createSecretKeyRing(secret);
    for (const alg of ['HS256', 'HS384', 'HS512'] as const) {
      const expected = (accepted as readonly string[]).includes(alg) ? undefined : 'key-unknown';
      expect(await refusalOf(ring, createSecret(secret, alg))).toBe(expected);
    }
  });

  it('verifies nothing that is signed with the secret of somebody else, a prefix of it or a longer one', async () => {
    const secret = new Uint8Array(64).fill(7);
    const ring = createSecretKeyRing(secret);
    for (const other of [secret.slice(0, 63), Uint8Array.of(...secret, 7), new Uint8Array(64).fill(8)]) {
      expect(await refusalOf(ring, createSecret(other))).toBe('signature-wrong');
    }
  });

  it('states how many bytes it must have', () => expect(MIN_SECRET_BYTES).toBe(32));
});

describe('a key', () => {
  it('is imported once for each algorithm', async () => {
    const key = createVerificationKey(new Uint8Array(64), ['HS256', 'HS512']);
    const imported = await key.toCryptoKey('HS256');
    expect(key.toCryptoKey('HS256')).toBe(imported);
    expect(await key.toCryptoKey('HS512')).not.toBe(imported);
  });
});

describe('public keys', () => {
  const rsa = createRsaKey();
  const ec = createEcKey();

  it('are tried in turn, so that a rotation needs no moment at which all tokens fail', async () => {
    const next = createRsaKey();
    const { ring, mistakes } = parsePublicKeys([`${rsa.pem}\n# the next one\n${next.pem}`, ec.pem]);
    expect(mistakes).toEqual([]);
    for (const key of [rsa, next, ec]) expect(await refusalOf(ring, key)).toBeUndefined();
    expect(await refusalOf(parsePublicKeys([next.pem]).ring, rsa)).toBe('signature-wrong');
  });

  it('verify by any kid', async () => {
    expect(await refusalOf(parsePublicKeys([rsa.pem]).ring, { ...rsa, kid: 'whatever' })).toBeUndefined();
  });

  it('may be written as PKCS#1, with CRLF, or with text around them', async () => {
    const pair = generateKeyPairSync('rsa', { modulusLength: 2048 });
    const pkcs1 = pair.publicKey.export({ format: 'pem', type: 'pkcs1' }) as string;
    const signer: SigningKey = { alg: 'RS256', kid: undefined, sign: pair.privateKey };
    for (const text of [pkcs1, pkcs1.replaceAll('\n', '\r\n'), `Key Attributes: none\n${pkcs1}\n`]) {
      const { ring, mistakes } = parsePublicKeys([text]);
      expect(mistakes).toEqual([]);
      expect(await refusalOf(ring, signer)).toBeUndefined();
    }
  });

  it('may come inside a certificate, whose dates say nothing', async () => {
    const pair = generateKeyPairSync('rsa', { modulusLength: 2048 });
    const certificate = toCertificate(pair);
    expect(new X509Certificate(certificate).verify(pair.publicKey)).toBe(true);
    const { ring, mistakes } = parsePublicKeys([certificate]);
    expect(mistakes).toEqual([]);
    expect(await refusalOf(ring, { alg: 'RS256', kid: undefined, sign: pair.privateKey })).toBeUndefined();
  });

  it('are refused with every mistake named, and none of their material', () => {
    const pem = (type: 'ed25519' | 'x25519') => spki(generateKeyPairSync(type as 'ed25519').publicKey);
    const privatePem = generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey.export({
      format: 'pem',
      type: 'pkcs8',
    });
    const texts = [
      createRsaKey({ bits: 1024 }).pem,
      rsa.pem,
      spki(generateKeyPairSync('ec', { namedCurve: 'P-384' }).publicKey),
      spki(generateKeyPairSync('ec', { namedCurve: 'secp256k1' }).publicKey),
      pem('ed25519'),
      spki(generateKeyPairSync('rsa-pss', { modulusLength: 2048 }).publicKey),
      privatePem as string,
      '-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----',
      ec.pem.slice(0, 80),
    ];
    expect(parsePublicKeys(texts).mistakes).toEqual([
      'key 1 is an RSA key of 1024 bits, where at least 2048 are needed',
      'key 3 is an EC key on a curve other than P-256',
      'key 4 is an EC key on a curve other than P-256',
      'key 5 is of a kind other than RSA and EC',
      'key 6 is unreadable: no PEM of an RSA or EC key',
      'key 7 is neither a public key nor a certificate: private keys do not belong here',
      'key 8 is unreadable: no PEM of an RSA or EC key',
      'key 9 is unreadable: no PEM of an RSA or EC key',
    ]);
  });

  it.each([1n, 2n, 65_536n])('are refused with the exponent %s', (exponent) => {
    expect(parsePublicKeys([toRsaPem(rsa.jwk.n ?? '', exponent)]).mistakes).toEqual([
      'key 1 is an RSA key whose exponent is even or below 3',
    ]);
  });

  it.each([3n, 65_537n])('are accepted with the exponent %s', (exponent) => {
    expect(parsePublicKeys([toRsaPem(rsa.jwk.n ?? '', exponent)]).mistakes).toEqual([]);
  });

  it.each([[[]], [['']], [['no PEM at all', 'BEGIN PUBLIC KEY']]])('are missed where there are none: %j', (texts) => {
    expect(parsePublicKeys(texts).mistakes).toEqual(['no PEM block (-----BEGIN PUBLIC KEY-----) is in it']);
  });
});

const der = (tag: number, ...contents: readonly Buffer[]) => {
  const content = Buffer.concat(contents);
  const { length } = content;
  const size = length < 0x80 ? [length] : length < 0x100 ? [0x81, length] : [0x82, length >> 8, length & 0xff];
  return Buffer.concat([Buffer.of(tag, ...size), content]);
};
const sequence = (...contents: readonly Buffer[]) => der(0x30, ...contents);
const toPem = (label: string, content: Buffer) =>
  `-----BEGIN ${label}-----\n${content.toString('base64')}\n-----END ${label}-----\n`;

/** PKCS#1 by hand: no tool makes a key with exponent 1. */
function toRsaPem(n: string, exponent: bigint): string {
  const hex = exponent.toString(16);
  const e = Buffer.from(hex.padStart(hex.length + (hex.length % 2), '0'), 'hex');
  return toPem('RSA PUBLIC KEY', sequence(der(2, Buffer.of(0), Buffer.from(n, 'base64url')), der(2, e)));
}

/** Self-signed, by hand: Node makes no certificates, and not every machine has openssl. */
function toCertificate({ publicKey, privateKey }: { publicKey: KeyObject; privateKey: KeyObject }): string {
  const sha256WithRsa = sequence(der(6, Buffer.from('2a864886f70d01010b', 'hex')), der(5));
  const validity = sequence(der(0x17, Buffer.from('140101000000Z')), der(0x17, Buffer.from('150101000000Z')));
  const subjectKey = publicKey.export({ format: 'der', type: 'spki' });
  const content = sequence(der(2, Buffer.of(1)), sha256WithRsa, sequence(), validity, sequence(), subjectKey);
  const signature = sign('sha256', content, privateKey);
  return toPem('CERTIFICATE', sequence(content, sha256WithRsa, der(3, Buffer.of(0), signature)));
}
