import { createHash, createHmac } from 'node:crypto';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { fail, type Result, succeed } from '../../src/failure.ts';
import { parsePublicKeys } from '../../src/keys/public-keys.ts';
import { createSecretKeyRing } from '../../src/keys/secret.ts';
import { createVerificationKey } from '../../src/keys/verification-key.ts';
import {
  type AuthenticateOptions,
  type Caller,
  createAuthenticate,
  type KeyRing,
  MAX_CACHED_TOKENS,
  MAX_TOKEN_BYTES,
} from '../../src/policy/authenticate.ts';
import { type Claims, createEcKey, createRsaKey, createSecret, signToken } from '../support/tokens.ts';

const NOW = 1_417_400_000;
const SECRET = 'a secret of more than sixty-four bytes, for all of the three hashes!';
const secret = createSecret(SECRET);
const rsa = createRsaKey();
const ec = createEcKey();

const sha256 = (text: string) => createHash('sha256').update(text).digest('base64');
const secretRing = () => createSecretKeyRing(new TextEncoder().encode(SECRET));
const pageClaims = (changes: Claims = {}): Claims => ({
  user_id: 'uaa-id-110',
  scope: ['cloud_controller.admin'],
  aud: ['cloud_controller'],
  exp: NOW + 3600,
  ...changes,
});

function setUp(options: Partial<AuthenticateOptions<unknown>> = {}) {
  const clock = { now: NOW };
  const lookups: boolean[] = [];
  const authenticate = createAuthenticate<unknown>({
    keys: secretRing(),
    issuer: undefined,
    audience: 'cloud_controller',
    epochSeconds: () => clock.now,
    sha256,
    onCacheLookup: (isHit) => lookups.push(isHit),
    ...options,
  });
  return {
    clock,
    lookups,
    authenticate: (authorization: string | undefined) => authenticate(authorization, undefined),
    present: (token: string) => authenticate(`bearer ${token}`, undefined),
  };
}

/** A token put together by hand, with a right HS256 signature: for what no signer would write. */
function forge(header: unknown, payload: string | Uint8Array): string {
  const encode = (part: string | Uint8Array) => Buffer.from(part).toString('base64url');
  const isRaw = typeof header === 'string' || header instanceof Uint8Array;
  const input = `${encode(isRaw ? header : JSON.stringify(header))}.${encode(payload)}`;
  return `${input}.${createHmac('sha256', SECRET).update(input).digest('base64url')}`;
}

const HS256 = { alg: 'HS256' };
const refusal = (reason: string) => fail({ kind: 'token-invalid', reason });
const missing = fail({ kind: 'token-missing' });

function callerOf(result: Result<Caller>): Caller {
  if (!result.ok) throw new Error(`refused: ${JSON.stringify(result.failure)}`);
  return result.value;
}

describe('the Authorization header', () => {
  it.each([
    undefined,
    '',
    ' ',
    'Basic YTpi',
    'Negotiate x',
    'Bearerish a.b.c',
    'bearer-token a.b.c',
    ' bearer a.b.c',
    'a.b.c',
  ])('takes %j for no bearer token at all', async (authorization) => {
    expect(await setUp().authenticate(authorization)).toEqual(missing);
  });

  it.each(['bearer', 'Bearer', 'BEARER', 'bEaReR'])('accepts the scheme as %s', async (scheme) => {
    const token = await signToken(pageClaims(), secret);
    expect(callerOf(await setUp().authenticate(`${scheme} ${token}`)).id).toBe('uaa-id-110');
  });

  it('refuses a good token that is not alone behind exactly one space', async () => {
    const token = await signToken(pageClaims(), secret);
    const { authenticate, lookups } = setUp();
    const spoilt = [
      'bearer',
      'bearer ',
      `bearer  ${token}`,
      `bearer\t${token}`,
      `bearer:${token}`,
      `bearer,${token}`,
      `bearer ${token} `,
      `bearer ${token} x`,
      `bearer ${token}, bearer ${token}`,
      `bearer bearer ${token}`,
      `bearer "${token}"`,
      `bearer\u00a0${token}`,
      `bearer ${token}\n`,
    ];
    for (const authorization of spoilt) expect(await authenticate(authorization)).toEqual(refusal('not-a-compact-jws'));
    expect(lookups).toEqual([]);
  });

  it.each(['a', 'a.b', 'a.b.c.d', 'a.b.', '.b.c', 'a..c', 'a.b=.c', 'a+b.c.d', 'a/b.c.d', 'é.b.c', '{}', 'a.b.c.d.e'])(
    'lets nothing but three base64url parts to the verifier: refuses %j',
    async (token) => {
      expect(await setUp().present(token)).toEqual(refusal('not-a-compact-jws'));
    },
  );

  it('accepts a token of exactly 16 KiB and refuses one that is a byte longer', async () => {
    const ofLength = (length: number): string => {
      const payload = (pad: number) => JSON.stringify(pageClaims({ pad: 'x'.repeat(pad) }));
      const room = Math.floor(((length - forge(HS256, payload(0)).length) * 3) / 4);
      // Three bytes are four characters: the payload alone does not reach every length, a longer header makes up for it.
      for (const headerPad of ['', 'x', 'xx', 'xxx']) {
        for (let pad = room - 16; pad <= room; pad += 1) {
          const token = forge({ ...HS256, pad: headerPad }, payload(pad));
          if (token.length === length) return token;
        }
      }
      throw new Error('no token has this length');
    };
    expect(MAX_TOKEN_BYTES).toBe(16_384);
    expect((await setUp().present(ofLength(MAX_TOKEN_BYTES))).ok).toBe(true);
    expect(await setUp().present(ofLength(MAX_TOKEN_BYTES + 1))).toEqual(refusal('too-long'));
  });
});

describe('the signature', () => {
  it.each(['HS256', 'HS384', 'HS512'] as const)('verifies %s by the secret', async (alg) => {
    const token = await signToken(pageClaims(), createSecret(SECRET, alg));
    expect((await setUp().present(token)).ok).toBe(true);
  });

  it.each(['RS256', 'RS384', 'RS512'] as const)('verifies %s by a PEM', async (alg) => {
    const { present } = setUp({ keys: parsePublicKeys([rsa.pem]).ring });
    expect((await present(await signToken(pageClaims(), { ...rsa, alg }))).ok).toBe(true);
  });

  it('verifies ES256 by a PEM', async () => {
    const { present } = setUp({ keys: parsePublicKeys([ec.pem]).ring });
    expect((await present(await signToken(pageClaims(), ec))).ok).toBe(true);
  });

  it('refuses a token signed by another key of the same kind', async () => {
    const { present } = setUp({ keys: parsePublicKeys([rsa.pem]).ring });
    expect(await present(await signToken(pageClaims(), createRsaKey()))).toEqual(refusal('signature-wrong'));
    const stranger = createSecret('another secret of more than sixty-four bytes, which nobody here knows');
    expect(await setUp().present(await signToken(pageClaims(), stranger))).toEqual(refusal('signature-wrong'));
  });

  it('refuses a public key used as an HMAC secret', async () => {
    const { present } = setUp({ keys: parsePublicKeys([rsa.pem, ec.pem]).ring });
    for (const pem of [rsa.pem, ec.pem, rsa.pem.trim(), ec.pem.trim()]) {
      expect(await present(await signToken(pageClaims(), createSecret(pem)))).toEqual(refusal('key-unknown'));
    }
  });

  it.each([
    'none',
    'None',
    'NONE',
    'nOnE',
    'HS1',
    'PS256',
    'RS256',
    'ES256',
    'EdDSA',
    'hs256',
    '',
    '__proto__',
    'constructor',
  ])('refuses the algorithm %j with a secret, however it is signed', async (alg) => {
    expect(await setUp().present(forge({ alg }, JSON.stringify(pageClaims())))).toEqual(refusal('key-unknown'));
  });

  it('refuses PS256 with an RSA key, although it could be verified', async () => {
    const { present } = setUp({ keys: parsePublicKeys([rsa.pem]).ring });
    expect(await present(await signToken(pageClaims(), { ...rsa, alg: 'PS256' }))).toEqual(refusal('key-unknown'));
  });

  it('believes no key ring that offers a key for an algorithm which is not the key’s', async () => {
    const keys: KeyRing<unknown> = {
      find: () => succeed([createVerificationKey(new TextEncoder().encode(SECRET), ['HS512'])]),
      isCurrent: () => true,
    };
    expect(await setUp({ keys }).present(await signToken(pageClaims(), secret))).toEqual(refusal('key-unknown'));
  });

  it('throws where a key is not what its ring says it is: that is a bug, no bad token', async () => {
    const key = createVerificationKey(new TextEncoder().encode(SECRET), ['HS256']);
    const keys: KeyRing<unknown> = {
      find: () => succeed([{ algorithms: new Set(['RS256']), toCryptoKey: () => key.toCryptoKey('HS256') }]),
      isCurrent: () => true,
    };
    await expect(setUp({ keys }).present(await signToken(pageClaims(), rsa))).rejects.toThrow(TypeError);
  });

  it('gives no power to a key that the token brings or points at', async () => {
    const stranger = createRsaKey();
    const { present } = setUp({ keys: parsePublicKeys([rsa.pem]).ring });
    const pointers = {
      jwk: stranger.jwk,
      jku: 'http://127.0.0.1:9/keys',
      x5u: 'http://127.0.0.1:9/cert',
      x5c: ['MII'],
    };
    for (const [name, value] of Object.entries(pointers)) {
      const header = { [name]: value };
      expect(await present(await signToken(pageClaims(), stranger, header))).toEqual(refusal('signature-wrong'));
      // UAA sets jku in every token: it is no reason to refuse one.
      expect((await present(await signToken(pageClaims(), rsa, header))).ok).toBe(true);
    }
  });

  it('refuses every header that carries crit or b64', async () => {
    const payload = JSON.stringify(pageClaims());
    const headers = [
      { crit: ['b64'], b64: true },
      { crit: ['b64'], b64: false },
      { b64: false },
      { b64: true },
      { crit: ['exp'], exp: 1 },
      { crit: [] },
      { crit: null },
    ];
    for (const header of headers) {
      expect(await setUp().present(forge({ ...HS256, ...header }, payload))).toEqual(refusal('header-unreadable'));
    }
  });

  it.each([
    'x',
    '',
    'null',
    '[]',
    '"HS256"',
    '{"alg":"HS256"',
    '{}',
    '{"alg":null}',
    '{"alg":["HS256"]}',
    '{"alg":"HS256","kid":1}',
    '{"alg":"HS256","kid":null}',
  ])('refuses the header %j', async (header) => {
    const token = forge(header, JSON.stringify(pageClaims()));
    const reason = header === '' ? 'not-a-compact-jws' : 'header-unreadable';
    expect(await setUp().present(token)).toEqual(refusal(reason));
  });

  it('refuses a header or payload that is no UTF-8, or no base64url of any bytes', async () => {
    const [header = '', payload = '', signature = ''] = forge(HS256, JSON.stringify(pageClaims())).split('.');
    const { present } = setUp();
    expect(await present(`a.${payload}.${signature}`)).toEqual(refusal('header-unreadable'));
    expect(await present(`${header}.${payload}.a`)).toEqual(refusal('signature-wrong'));
    const latin1 = (text: string) => Uint8Array.from(Buffer.from(text, 'latin1'));
    expect(await present(forge(latin1('{"alg":"HS256","x":"\xff"}'), '{}'))).toEqual(refusal('header-unreadable'));
    const claims = JSON.stringify(pageClaims({ user_id: '\xff' }));
    expect((await present(forge(HS256, claims))).ok).toBe(true);
    expect(await present(forge(HS256, latin1(claims)))).toEqual(refusal('claims-unreadable'));
  });

  it.each(['x', 'null', '[]', '1', '"text"', '{"exp":'])('refuses the signed payload %j', async (payload) => {
    expect(await setUp().present(forge(HS256, payload))).toEqual(refusal('claims-unreadable'));
  });

  it('accepts no token in which any character was changed', async () => {
    const token = await signToken(pageClaims(), secret);
    const { present } = setUp();
    const alphabet = 'ABCXYZabcxyz019-_.';
    await fc.assert(
      fc.asyncProperty(fc.nat(token.length - 1), fc.constantFrom(...alphabet), async (position, character) => {
        const changed = token.slice(0, position) + character + token.slice(position + 1);
        // The last character of a signature has bits that encode nothing.
        const isSame = changed.split('.').every((part, index) => {
          return Buffer.from(part, 'base64url').equals(Buffer.from(token.split('.')[index] ?? '', 'base64url'));
        });
        fc.pre(!isSame);
        expect((await present(changed)).ok).toBe(false);
      }),
      { seed: 1, numRuns: 500 },
    );
  });

  it('answers any header whatever with a failure, and never throws', async () => {
    const { authenticate } = setUp({ keys: parsePublicKeys([rsa.pem, ec.pem]).ring });
    const part = fc.oneof(
      fc.base64String().map((text) => text.replace(/[+/=]/g, '')),
      fc.json().map((text) => Buffer.from(text).toString('base64url')),
      fc
        .record({ alg: fc.constantFrom('RS256', 'ES256', 'RS512'), kid: fc.option(fc.string()) })
        .map((header) => Buffer.from(JSON.stringify(header)).toString('base64url')),
    );
    const text = fc.oneof(
      fc.string(),
      fc.tuple(part, part, part).map((parts) => `bearer ${parts.join('.')}`),
    );
    await fc.assert(
      fc.asyncProperty(text, async (authorization) => {
        const result = await authenticate(authorization);
        expect(result.ok).toBe(false);
        expect(['token-missing', 'token-invalid']).toContain(result.ok || result.failure.kind);
      }),
      { seed: 1, numRuns: 1000 },
    );
  });
});

describe('the claims', () => {
  const judge = async (changes: Claims, options: Partial<AuthenticateOptions<unknown>> = {}) =>
    setUp(options).present(await signToken(pageClaims(changes), secret));

  it('says who the caller is', async () => {
    const scope = ['cloud_controller.read', 'cloud_controller.write'];
    expect(callerOf(await judge({ client_id: 'cf', scope }))).toEqual({
      id: 'uaa-id-110',
      clientId: 'cf',
      scopes: new Set(scope),
    });
  });

  it('keeps the scopes of callers apart, however often lists are the same', async () => {
    const lists = [['a b'], ['a', 'b'], ['b', 'a'], ['a', 'b'], [], 'a', ['a', 1]];
    for (const scope of [...lists, ...lists]) {
      const isList = Array.isArray(scope) && scope.every((element) => typeof element === 'string');
      expect(callerOf(await judge({ scope })).scopes).toEqual(new Set(isList ? scope : []));
    }
  });

  it.each([undefined, null, '1417403600', NOW + 0.5, true, [NOW + 3600], {}])(
    'takes exp %j for expired: it is no integer',
    async (exp) => {
      expect(await judge({ exp })).toEqual(refusal('expired'));
    },
  );

  it('ends a token in the very second of exp, without leeway', async () => {
    expect(await judge({ exp: NOW })).toEqual(refusal('expired'));
    expect(await judge({ exp: NOW - 1 })).toEqual(refusal('expired'));
    expect(await judge({ exp: -1 })).toEqual(refusal('expired'));
    expect((await judge({ exp: NOW + 1 })).ok).toBe(true);
  });

  it('begins a token in the very second of nbf, without leeway', async () => {
    expect((await judge({ nbf: NOW })).ok).toBe(true);
    expect((await judge({ nbf: NOW - 0.5 })).ok).toBe(true);
    for (const nbf of [NOW + 1, NOW + 0.5, null, '0', [0]])
      expect(await judge({ nbf })).toEqual(refusal('not-yet-valid'));
  });

  it.each([
    ['cloud_controller'],
    ['openid', 'cloud_controller'],
    ['cloud_controller', 7],
    'cloud_controller',
    'openid cloud_controller',
  ])('accepts the audience %j', async (...aud) => {
    expect((await judge({ aud: aud.length === 1 ? aud[0] : aud })).ok).toBe(true);
  });

  it.each([
    undefined,
    null,
    '',
    7,
    {},
    { cloud_controller: true },
    'cloud_controller_ng',
    'Cloud_Controller',
    'cloud_controller.admin',
    'openid,cloud_controller',
    'openid\tcloud_controller',
  ])('refuses the audience %j', async (aud) => {
    expect(await judge({ aud })).toEqual(refusal('audience-wrong'));
    expect(await judge({ aud: [aud] })).toEqual(refusal('audience-wrong'));
  });

  it('compares an element of an audience array as a whole', async () => {
    expect(await judge({ aud: ['openid cloud_controller'] })).toEqual(refusal('audience-wrong'));
    expect(await judge({ aud: [] })).toEqual(refusal('audience-wrong'));
    expect(await judge({ aud: [['cloud_controller']] })).toEqual(refusal('audience-wrong'));
  });

  it('checks the issuer only where one is configured', async () => {
    const issuer = 'https://uaa.example.com/oauth/token';
    expect((await judge({ iss: 'https://elsewhere.example.com' })).ok).toBe(true);
    expect((await judge({ iss: issuer }, { issuer })).ok).toBe(true);
    for (const iss of [undefined, null, `${issuer}/`, [issuer], 'https://elsewhere.example.com']) {
      expect(await judge({ iss }, { issuer })).toEqual(refusal('issuer-wrong'));
    }
  });

  it('refuses a refresh token', async () => {
    expect(await judge({ jti: '5dd9df1ad5b04c9bb0a6f1b1a3d1b8f1-r' })).toEqual(refusal('refresh-token'));
    expect(await judge({ jti: '-r' })).toEqual(refusal('refresh-token'));
    // What is no string cannot be told from one.
    expect(await judge({ jti: ['x-r'] })).toEqual(refusal('refresh-token'));
    expect((await judge({ jti: 'x-r-1' })).ok).toBe(true);
    expect((await judge({ jti: 'x-R' })).ok).toBe(true);
  });

  it.each([
    'cloud_controller.admin',
    'cloud_controller.read cloud_controller.admin',
    { 'cloud_controller.admin': true },
    ['cloud_controller.admin', 7],
    ['cloud_controller.admin', null],
    [['cloud_controller.admin']],
    7,
    null,
    undefined,
  ])('grants no scope by %j', async (scope) => {
    expect(callerOf(await judge({ scope })).scopes).toEqual(new Set());
  });

  it('keeps each scope whole', async () => {
    const scope = ['cloud_controller.admin_read_only', 'openid cloud_controller.admin', ''];
    expect(callerOf(await judge({ scope })).scopes).toEqual(new Set(scope));
  });

  it.each([undefined, null])('is the client where user_id is %j', async (user_id) => {
    expect(callerOf(await judge({ user_id, client_id: 'login' }))).toMatchObject({ id: 'login', clientId: 'login' });
  });

  it.each([undefined, null, '', 7, false, {}, ['a'], 'x'.repeat(256)])(
    'refuses the client id %j as a caller',
    async (client_id) => {
      expect(await judge({ user_id: undefined, client_id })).toEqual(refusal('caller-missing'));
    },
  );

  it.each(['', 7, false, {}, ['a'], 'x'.repeat(256)])(
    'does not fall back from the user id %j to the client',
    async (user_id) => {
      expect(await judge({ user_id, client_id: 'login' })).toEqual(refusal('caller-missing'));
    },
  );

  it('accepts a caller of 255 characters, and forgets a client id that is none', async () => {
    const user_id = 'x'.repeat(255);
    expect(callerOf(await judge({ user_id, client_id: 7 }))).toMatchObject({ id: user_id, clientId: undefined });
  });

  it('reads own members only', async () => {
    const payload = JSON.stringify(pageClaims({ user_id: undefined })).replace(
      '{',
      '{"__proto__":{"user_id":"admin"},',
    );
    expect(await setUp().present(forge(HS256, payload))).toEqual(refusal('caller-missing'));
  });
});

describe('the memory of verified tokens', () => {
  /** A ring that counts, and whose key can be taken away. */
  function watchedRing() {
    const ring = secretRing();
    const watch = { found: 0, isCurrent: true };
    const keys: KeyRing<unknown> = {
      find: (header, scope) => {
        watch.found += 1;
        return ring.find(header, scope);
      },
      isCurrent: (key, scope) => watch.isCurrent && ring.isCurrent(key, scope),
    };
    return { keys, watch };
  }

  it('verifies a token once', async () => {
    const { keys, watch } = watchedRing();
    const { present, lookups } = setUp({ keys });
    const token = await signToken(pageClaims(), secret);
    const first = await present(token);
    expect(await present(token)).toEqual(first);
    expect(watch.found).toBe(1);
    expect(lookups).toEqual([false, true]);
  });

  it('remembers no token that was refused', async () => {
    const { keys, watch } = watchedRing();
    const { present } = setUp({ keys });
    const token = await signToken(pageClaims({ aud: 'other' }), secret);
    await present(token);
    await present(token);
    expect(watch.found).toBe(2);
  });

  it('rechecks exp each time it remembers', async () => {
    const { present, clock } = setUp();
    const token = await signToken(pageClaims({ exp: NOW + 60 }), secret);
    expect((await present(token)).ok).toBe(true);
    clock.now = NOW + 59;
    expect((await present(token)).ok).toBe(true);
    clock.now = NOW + 60;
    expect(await present(token)).toEqual(refusal('expired'));
  });

  it('rechecks nbf each time it remembers, for a clock that was set back', async () => {
    const { present, clock } = setUp();
    const token = await signToken(pageClaims({ nbf: NOW }), secret);
    expect((await present(token)).ok).toBe(true);
    clock.now = NOW - 1;
    expect(await present(token)).toEqual(refusal('not-yet-valid'));
  });

  it('forgets a token that has expired', async () => {
    const { keys, watch } = watchedRing();
    const { present, clock, lookups } = setUp({ keys });
    const token = await signToken(pageClaims({ exp: NOW + 60 }), secret);
    await present(token);
    clock.now = NOW + 60;
    await present(token);
    clock.now = NOW;
    await present(token);
    expect(lookups).toEqual([false, true, false]);
    expect(watch.found).toBe(2);
  });

  it('forgets what a key verified when that key is current no longer', async () => {
    const { keys, watch } = watchedRing();
    const { present, lookups } = setUp({ keys });
    const token = await signToken(pageClaims(), secret);
    await present(token);
    watch.isCurrent = false;
    await present(token);
    expect(watch.found).toBe(2);
    expect(lookups).toEqual([false, false]);
  });

  it('does not answer from memory when the key has gone and no other verifies the token', async () => {
    const first = createRsaKey();
    const second = createRsaKey();
    let current = parsePublicKeys([first.pem]).ring;
    const keys: KeyRing<unknown> = {
      find: (header, scope) => current.find(header, scope),
      isCurrent: (key, scope) => current.isCurrent(key, scope),
    };
    const { present } = setUp({ keys });
    const token = await signToken(pageClaims(), first);
    expect((await present(token)).ok).toBe(true);
    current = parsePublicKeys([second.pem]).ring;
    expect(await present(token)).toEqual(refusal('signature-wrong'));
  });

  it('knows a token by its digest, never by its text or by a part of it', async () => {
    const digested: string[] = [];
    const { present } = setUp({
      sha256: (text) => {
        digested.push(text);
        return 'always the same';
      },
    });
    const one = await signToken(pageClaims({ user_id: 'one' }), secret);
    const other = await signToken(pageClaims({ user_id: 'other' }), secret);
    expect(callerOf(await present(one)).id).toBe('one');
    // Had the text any part in it, the other token would be known as what it is.
    expect(callerOf(await present(other)).id).toBe('one');
    expect(digested).toEqual([one, other]);
  });

  it('remembers a bounded number of tokens, and the ones used last', async () => {
    let digest = '0';
    const { present, lookups } = setUp({ sha256: () => digest });
    const token = await signToken(pageClaims(), secret);
    for (let index = 0; index <= MAX_CACHED_TOKENS; index += 1) {
      digest = `${index}`;
      await present(token);
    }
    digest = '1';
    await present(token);
    digest = '0';
    await present(token);
    expect(lookups.slice(-2)).toEqual([true, false]);
  });
});

describe('without keys', () => {
  const unavailable = fail({ kind: 'unavailable', dependency: 'key-set', reason: 'status 500' });
  const keys: KeyRing<unknown> = { find: async () => unavailable, isCurrent: () => false };

  it('says of a well-formed token that nothing can be said', async () => {
    expect(await setUp({ keys }).present(await signToken(pageClaims(), rsa))).toEqual(unavailable);
  });

  it('still refuses what no key could save', async () => {
    const { present, authenticate } = setUp({ keys });
    expect(await authenticate(undefined)).toEqual(missing);
    expect(await present('a.b.c')).toEqual(refusal('header-unreadable'));
    expect(await present(await signToken('no claims', rsa))).toEqual(refusal('claims-unreadable'));
    expect(await present(await signToken(pageClaims({ exp: NOW }), rsa))).toEqual(refusal('expired'));
    expect(await present(await signToken(pageClaims({ aud: 'other' }), rsa))).toEqual(refusal('audience-wrong'));
  });
});
