/** Attacks with a token. What single tokens are refused for: `test/unit/authenticate.test.ts`, and Wycheproof's vectors beside it. */
import { gzipSync } from 'node:zlib';
import { afterAll, expect } from 'vitest';
import { type KeyServer, startKeyServer } from '../support/key-server.ts';
import { type Claims, createEcKey, createRsaKey, createSecret, signToken, toClaims } from '../support/tokens.ts';
import { describeAttacks } from './describe-attacks.ts';
import { ALICES, SECRET, type Siege, sign, toTarget, USERS } from './siege.ts';

const RSA = createRsaKey({ kid: 'service' });
const EC = createEcKey({ kid: 'service-ec' });
const ATTACKERS = createRsaKey({ kid: 'service' });

const PEM_ENV = { LEGACY_TOKEN_SECRET: '', LEGACY_TOKEN_PUBLIC_KEY: RSA.pem + EC.pem };

const ROOT = { user_id: 'root', scope: ['cloud_controller.admin'] };

const encode = (part: unknown) =>
  Buffer.from(typeof part === 'string' ? part : JSON.stringify(part)).toString('base64url');

/** Whatever stands in its parts. */
const forge = (header: unknown, claims: unknown, signature = 'c2ln') =>
  `${encode(header)}.${encode(claims)}.${signature}`;

const keys = await startKeyServer([RSA.jwk, EC.jwk]);
const KEYS_ENV = { LEGACY_TOKEN_SECRET: '', LEGACY_TOKEN_KEYS_URL: keys.url };
afterAll(() => keys.close());

/** Variables for a Holdover whose key set is published by a server of this attack's own. */
const toKeysEnv = ({ url }: KeyServer) => ({ LEGACY_TOKEN_SECRET: '', LEGACY_TOKEN_KEYS_URL: url });

async function refusesAll(siege: Siege, tokens: readonly string[], env?: Parameters<Siege['send']>[1]): Promise<void> {
  for (const token of tokens) await siege.refuses({ token }, 401, 1000, env);
}

const signRoot = (key: Parameters<typeof signToken>[1], header?: Claims) => signToken(toClaims(ROOT), key, header);

describeAttacks('token', {
  'a token of the algorithm none': async (siege) => {
    const claims = toClaims(ROOT);
    const tokens = ['none', 'None', 'NONE', 'nOnE', '', 'None\0', 'HS256 ', 'null'].flatMap((alg) =>
      ['', 'AAAA', 'c2ln'].map((signature) => forge({ alg, typ: 'JWT' }, claims, signature)),
    );
    await refusesAll(siege, [...tokens, forge({ typ: 'JWT' }, claims), forge({ alg: null }, claims)]);
    await refusesAll(siege, tokens, PEM_ENV);
  },

  'algorithm confusion: the public key taken for an HMAC secret': async (siege) => {
    const der = RSA.pem.replace(/-----[^-]+-----|\s/g, '');
    const known = [RSA.pem, RSA.pem.trim(), der, JSON.stringify(RSA.jwk), String(RSA.jwk.n), EC.pem];
    const secrets = [
      ...known,
      Buffer.from(der, 'base64'),
      Buffer.from(String(RSA.jwk.n), 'base64url'),
      Buffer.from([]),
    ];
    for (const secret of secrets.filter(({ length }) => length > 0)) {
      for (const alg of ['HS256', 'HS384', 'HS512'] as const) {
        const token = await signRoot(createSecret(secret, alg), { kid: 'service' }).catch(() => '');
        if (token === '') continue;
        await siege.refuses({ token }, 401, 1000, PEM_ENV);
        await siege.refuses({ token }, 401, 1000, KEYS_ENV);
      }
    }
    await siege.removes({ token: await signRoot(RSA) }, 'alices', USERS.bob, PEM_ENV);
    await siege.removes({ token: await signRoot(EC) }, 'alices', USERS.bob, KEYS_ENV);
  },

  'a kid that is a path, a query or a name of JavaScript': async (siege) => {
    const kids = ['../../../../dev/null', '/proc/self/environ', "' OR '1'='1", 'service\0', 'SERVICE', 'service ', ''];
    const names = ['__proto__', 'constructor', 'toString', keys.url, '$(id)', '*', '{"$gt":""}', 'k'.repeat(5000)];
    for (const kid of [...kids, ...names]) {
      for (const key of [ATTACKERS, createSecret(''.padEnd(32, '\0'))]) {
        await siege.refuses({ token: await signRoot(key, { kid }) }, 401, 1000, KEYS_ENV);
      }
    }
    for (const kid of [1, null, ['service'], { kid: 'service' }, true]) {
      await siege.refuses({ token: forge({ alg: 'RS256', kid }, toClaims(ROOT)) }, 401, 1000, KEYS_ENV);
    }
    expect(new Set(keys.asked)).toEqual(new Set(['/token_keys']));
  },

  'jku, x5u, jwk and x5c: the key that the token brings along': async (siege) => {
    const attackers = await startKeyServer([ATTACKERS.jwk]);
    const { url } = attackers;
    const certificate = ATTACKERS.pem.replace(/-----[^-]+-----|\s/g, '');
    const headers = [{ jku: url }, { x5u: url }, { jwk: ATTACKERS.jwk }, { x5c: [certificate] }];
    for (const header of [...headers, { jku: url, kid: url }, { iss: url }, { url }]) {
      const token = await signRoot(ATTACKERS, header);
      for (const at of [KEYS_ENV, PEM_ENV, {}]) await siege.refuses({ token }, 401, 1000, at);
    }
    const token = await signToken(toClaims({ ...ROOT, iss: url, jku: url }), ATTACKERS);
    await siege.refuses({ token }, 401, 1000, KEYS_ENV);
    expect(attackers.asked).toEqual([]);
    await attackers.close();
  },

  'a signature of zeros': async (siege) => {
    const claims = toClaims(ROOT);
    const signatures = [32, 48, 64, 256].flatMap((length) => [
      Buffer.alloc(length).toString('base64url'),
      Buffer.alloc(length, 0xff).toString('base64url'),
    ]);
    for (const alg of ['ES256', 'RS256', 'RS512', 'HS256', 'PS256']) {
      const tokens = signatures.map((signature) => forge({ alg, typ: 'JWT' }, claims, signature));
      await refusesAll(siege, tokens, alg === 'HS256' ? {} : PEM_ENV);
    }
  },

  'a key set that redirects to the attacker': async (siege) => {
    const attackers = await startKeyServer([ATTACKERS.jwk]);
    const server = await startKeyServer();
    server.answer(301, '', { Location: attackers.url });
    await siege.refuses({ token: await signRoot(ATTACKERS) }, 503, 10015, toKeysEnv(server));
    expect(attackers.asked).toEqual([]);
    expect(server.asked.length).toBeGreaterThan(0);
    await Promise.all([server.close(), attackers.close()]);
  },

  'a key set that is a bomb': async (siege) => {
    const server = await startKeyServer([RSA.jwk]);
    const env = toKeysEnv(server);
    await siege.removes({ token: await signRoot(RSA) }, 'alices', USERS.bob, env);
    // 16 MiB in 16 KiB. Were it read to its end, the attacker's key would be in it.
    const bomb = gzipSync(`{"keys":[${JSON.stringify(ATTACKERS.jwk)}],"x":"${' '.repeat(16 * 1024 * 1024)}"}`);
    server.answer(200, bomb, { 'Content-Type': 'application/json', 'Content-Encoding': 'gzip' });
    server.forget();
    await siege.refuses({ token: await signRoot(ATTACKERS, { kid: 'new' }) }, 401, 1000, env);
    expect(server.asked).toHaveLength(1);
    await siege.removes({ token: await signRoot(RSA) }, 'alices', USERS.bob, env);

    const nested = await startKeyServer();
    nested.answer(200, `{"keys":${'['.repeat(100_000)}${']'.repeat(100_000)}}`);
    await siege.refuses({ token: await signRoot(ATTACKERS) }, 503, 10015, toKeysEnv(nested));
    await Promise.all([server.close(), nested.close()]);
  },

  'a flood of unknown kids': async (siege) => {
    const server = await startKeyServer([RSA.jwk]);
    const env = toKeysEnv(server);
    await siege.removes({ token: await signRoot(RSA) }, 'alices', USERS.bob, env);
    server.forget();
    const tokens = await Promise.all(
      Array.from({ length: 200 }, (_, index) => signRoot(ATTACKERS, { kid: `invented-${index}` })),
    );
    const answers = await Promise.all(tokens.map((token) => siege.send({ token }, env)));
    expect(new Set(answers.map(({ code }) => code))).toEqual(new Set([1000]));
    await siege.removes({ token: await signRoot(RSA) }, 'alices', USERS.bob, env);
    expect(server.asked).toHaveLength(1);
    await server.close();
  },

  'an oversized token': async (siege) => {
    const long = await signToken(toClaims({ ...ROOT, padding: 'x'.repeat(12_400) }), createSecret(SECRET));
    expect(long.length).toBeGreaterThan(16 * 1024);
    const tokens = [
      long,
      'a.b.'.padEnd(30_000, 'c'),
      `${'a'.repeat(10_000)}.${'b'.repeat(10_000)}.c`,
      '.'.repeat(20_000),
    ];
    await refusesAll(siege, tokens);
    const fits = await signToken(toClaims({ ...ROOT, padding: 'x'.repeat(11_000) }), createSecret(SECRET));
    await siege.removes({ token: fits }, 'alices', USERS.bob);
  },

  'a deeply nested token': async (siege) => {
    const deep = `${'['.repeat(5000)}${']'.repeat(5000)}`;
    const deepObject = `${'{"a":'.repeat(1500)}1${'}'.repeat(1500)}`;
    await refusesAll(
      siege,
      [deep, deepObject].flatMap((nested) => [
        forge(nested, toClaims(ROOT)),
        forge(`{"alg":"HS256","x":${nested}}`, toClaims(ROOT)),
        forge({ alg: 'HS256' }, nested),
      ]),
    );
    // Signed by the service itself: what is nested counts for nothing, wherever it stands.
    for (const [member, code] of [
      ['scope', 10007],
      ['aud', 1000],
      ['user_id', 1000],
      ['jti', 1000],
    ] as const) {
      const { [member]: _, ...claims } = toClaims({ user_id: 'mallory', scope: ['cloud_controller.write'] });
      const payload = JSON.stringify({ ...claims }).replace(/}$/, `,"${member}":${deep}}`);
      const token = await signToken(payload, createSecret(SECRET));
      await siege.refuses({ token }, code === 10007 ? 403 : 401, code);
    }
  },

  'the wrong kind of token': async (siege) => {
    const root = (changes: Claims) => sign({ ...ROOT, ...changes });
    await refusesAll(siege, [
      // A refresh token, an ID token, a token for another service, one without audience.
      await root({ jti: 'c4cc1f59-r' }),
      await root({ aud: ['cf'], nonce: 'n' }),
      await root({ aud: ['cloud_controller_ng', 'uaa'] }),
      await root({ aud: undefined }),
      // A JWT in a JWT, a JWE, an opaque token, PASETO, SAML, something for a shell.
      await signToken(JSON.stringify(await root({})), createSecret(SECRET), { cty: 'JWT' }),
      `${encode({ alg: 'dir', enc: 'A128GCM' })}..${encode('iv')}.${encode('text')}.${encode('tag')}`,
      '0cc175b9c0f1b6a831c399e269772661',
      'v4.public.eyJzdWIiOiJyb290In0',
      '<saml:Assertion/>',
      '$(id)',
    ]);
    const basic = { Authorization: `Basic ${Buffer.from('root:root').toString('base64')}` };
    await siege.refuses({ token: null, headers: basic }, 401, 10002);
    await siege.refuses({ token: null, headers: { Authorization: `Token ${await root({})}` } }, 401, 10002);
    await siege.refuses({ token: null, headers: { Cookie: `token=${await root({})}` } }, 401, 10002);
    const inQuery = `${toTarget(ALICES, 'bob')}?access_token=${await root({})}`;
    await siege.refuses({ token: null, target: inQuery }, 401, 10002);
  },

  'a scope given as text': async (siege) => {
    const admin = 'cloud_controller.admin';
    const scopes = [
      admin,
      `${admin} cloud_controller.write`,
      [admin, 1],
      [[admin]],
      { 0: admin, length: 1 },
      { [admin]: true },
    ];
    for (const scope of [...scopes, [`${admin} `], [`x ${admin}`], [admin.toUpperCase()], null, 1, true]) {
      await siege.refuses({ token: await sign({ user_id: 'alice', scope }) }, 403, 10007);
    }
  },

  '__proto__ as a claim': async (siege) => {
    const { scope: _, ...claims } = toClaims({ user_id: 'mallory' });
    const hidden = '{"scope":["cloud_controller.admin"],"user_id":"alice"}';
    for (const name of ['__proto__', 'constructor', 'prototype']) {
      const payload = JSON.stringify(claims).replace(/}$/, `,"${name}":${hidden}}`);
      await siege.refuses({ token: await signToken(payload, createSecret(SECRET)) }, 403, 10007);
    }
  },
});
