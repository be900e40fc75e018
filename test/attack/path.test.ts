/**
 * Attacks with the path. Each user id is asked for by an administrator of everything: what keeps it from the backend is that
 * it is nobody's. Where routers could disagree, an old server stands behind Holdover, and must not be reached around it.
 * Which spellings mean what: `test/unit/legacy-route.test.ts` and `test/property/legacy-route.test.ts`.
 */
import { expect } from 'vitest';
import { describeAttacks } from './describe-attacks.ts';
import { ADMIN, ALICES, MALLORY, type Siege, toTarget, USERS } from './siege.ts';

/** Nobody's ids: the same 400 for each, with nothing asked of the backend. */
async function refusesUsers(siege: Siege, users: readonly string[], status = 400, code = 1002): Promise<void> {
  for (const user of users) {
    await siege.refuses({ target: toTarget(ALICES, user), token: ADMIN }, status, code);
  }
}

const toOriginEnv = (siege: Siege) => ({ LEGACY_ORIGIN_URL: siege.origin.url });

/** Of a removal in Alice's organization, by whoever may not: neither side may be asked for it. */
async function neverPasses(siege: Siege, targets: readonly string[], change: Parameters<Siege['send']>[0] = {}) {
  for (const target of targets) {
    for (const token of [MALLORY, null, `${MALLORY}x`]) {
      siege.forget();
      const { status } = await siege.send({ ...change, target, token }, toOriginEnv(siege));
      siege.expectNothingHappened(target);
      expect([401, 403, 404], target).toContain(status);
    }
  }
}

describeAttacks('path', {
  'a user id of dot segments': async (siege) => {
    for (const user of ['..', '%2e%2e', '.', '%2E', '../../members', '%2e%2e/%2E%2E/members']) {
      await siege.refuses({ target: toTarget(ALICES, user), token: ADMIN }, 404, 10000);
    }
    await refusesUsers(siege, ['...', '..%2e', '.%2e.', '%252e%252e', '..;', '.bob', 'bob.', 'bob..']);
  },

  'a user id with %2f': async (siege) => {
    const users = [
      '%2f',
      'bob%2f',
      '%2Fbob',
      '..%2fbob',
      `..%2f..%2forganization%2fmembers%2f${USERS.bob}`,
      'x%2f..%2fbob',
      '%2f%2f',
    ];
    for (const user of users) {
      siege.forget();
      const { code } = await siege.send({ target: toTarget(ALICES, user), token: MALLORY });
      // Where it resolves to Bob himself, it is asked for as Bob is, and refused as that.
      expect([10000, 10003], user).toContain(code);
      siege.expectNothingHappened(user);
    }
    await refusesUsers(siege, ['a%2fb', `${USERS.bob}%2f..%2f..`, 'bob%2fx'], 404, 10000);
  },

  'a user id with %252f': async (siege) => {
    await refusesUsers(siege, ['%252f', '..%252fbob', `${USERS.bob}%252f..`, '%252e%252e%252f', 'bob%2500', '%25252f']);
  },

  'a user id with ; or ?': async (siege) => {
    await refusesUsers(siege, [
      'bob;',
      'bob;x=1',
      ';bob',
      'bob%3b',
      `${USERS.bob};`,
      'bob%3F',
      'bob%3Fx=1',
      'bob%23',
      'bob&x',
      'bob,alice',
    ]);
  },

  'a user id with NUL': async (siege) => {
    await refusesUsers(siege, ['bob%00', '%00bob', `${USERS.bob}%00`, `bob%00${USERS.bob}`, '%00', 'bob%C0%80']);
  },

  'a user id with CRLF': async (siege) => {
    const users = [
      'bob%0d%0a',
      'bob%0a',
      '%0d%0aX-Injected:%201',
      `bob%0d%0a%0d%0aDELETE%20${toTarget(ALICES, 'bob').replaceAll('/', '')}`,
      'bob%E5%98%8A%E5%98%8D',
      'bob%E2%80%A8',
    ];
    for (const user of users) {
      const { headers } = await siege.refuses({ target: toTarget(ALICES, user), token: ADMIN }, 400, 1002);
      expect([...headers.keys()]).not.toContain('x-injected');
    }
  },

  'a user id in overlong UTF-8': async (siege) => {
    await refusesUsers(siege, [
      '%c0%ae%c0%ae',
      '..%c0%af',
      '%e0%80%af',
      '%f0%80%80%af',
      '%c1%a2ob',
      '%ff%fe',
      '%ed%a0%80',
      'b%c1%afb',
      '%f4%90%80%80',
    ]);
  },

  'a user id of ten thousand characters': async (siege) => {
    const user = 'b'.repeat(10_000);
    await refusesUsers(siege, [user, '%C3%A9'.repeat(1500), '%25'.repeat(3000), `${USERS.bob}${user}`]);
    await refusesUsers(siege, ['a/'.repeat(4000), '%2e%2e%2f'.repeat(1000)], 404, 10000);
  },

  'a user id of Unicode look-alikes': async (siege) => {
    const bobs = [
      'bоb',
      'ｂｏｂ',
      'b\u200bob',
      'bob\u00a0',
      'BOB',
      'Bob',
      'ḃob',
      'bo\u0062\u0301',
      '\ufeffbob',
      'bob\u202e',
      '𝐛𝐨𝐛',
    ];
    const uuid = '44444444-4444-4444-8444-44444444444a';
    const uuids = [
      uuid.replace('4', '４'),
      uuid.replace('a', 'а'),
      uuid.replaceAll('-', '‐'),
      `${uuid}\u200b`,
      `{${uuid}}`,
      ` ${uuid}`,
    ];
    await refusesUsers(siege, [...bobs, ...uuids, uuid.replaceAll('-', '')].map(encodeURIComponent));
    // Nor is Mallory's backend id taken for a legacy id, in whatever case: it is a mapping's value.
    await refusesUsers(siege, [USERS.mallory, USERS.mallory.toUpperCase()]);
    await siege.removes({ target: toTarget(ALICES, uuid.toUpperCase()), token: ADMIN }, 'alices', uuid);
  },

  'router disagreement: case': async (siege) => {
    const path = toTarget(ALICES, 'bob');
    await neverPasses(siege, [
      path.replace('v2', 'V2'),
      path.replace('org', 'ORG'),
      path.replace('users', 'Users'),
      path.replace('users', '%55sers'),
      path.toUpperCase(),
    ]);
  },

  'router disagreement: doubled slashes': async (siege) => {
    const path = toTarget(ALICES, 'bob');
    await neverPasses(siege, [
      `/${path}`,
      path.replaceAll('/', '//'),
      path.replace('/users', '//users'),
      `${path}/`,
      `${path}//`,
      path.replace('/v2', '/v2%2f'),
      path.replaceAll('/', '%2f').replace('%2f', '/'),
      path.replace('/users', '%5cusers'),
    ]);
  },

  'router disagreement: dot segments': async (siege) => {
    const path = toTarget(ALICES, 'bob');
    await neverPasses(siege, [
      `/x/..${path}`,
      `/v2/info/../..${path}`,
      path.replace('/users', '/./users'),
      path.replace('/users', '/x/../users'),
      path.replace('/users', '/x/%2e%2e/users'),
      path.replace('/users', '/x/..%2fusers'),
      path.replace('/users', '/..;/users'),
      path.replace(ALICES, `x/../${ALICES}`),
      path.replace(ALICES, `x%2f..%2f${ALICES}`),
      path.replace(ALICES, `x%252f..%252f${ALICES}`),
      `/_holdover/..${path}`,
    ]);
  },

  'router disagreement: an absolute-form target': async (siege) => {
    const path = toTarget(ALICES, 'bob');
    const hosts = [
      'http://evil.test',
      'http://127.0.0.1:1',
      'http://user@evil.test',
      'https://evil.test:443',
      'HTTP://evil.test',
    ];
    for (const host of [...hosts, 'http://evil.test/x/..', 'ftp://evil.test', 'http:', '//evil.test', 'http://']) {
      for (const token of [MALLORY, `${MALLORY}x`]) {
        siege.forget();
        const head = `DELETE ${host}${path} HTTP/1.1\r\nHost: holdover\r\nConnection: close\r\n`;
        const text = await siege.sendBytes(`${head}Authorization: bearer ${token}\r\n\r\n`, toOriginEnv(siege));
        expect(text, host).toMatch(/^HTTP\/1\.1 (400|401|403|404) /);
        siege.expectNothingHappened(host);
      }
    }
    siege.forget();
    const head = 'GET http://evil.test/v2/info?x=1 HTTP/1.1\r\nHost: evil.test\r\nConnection: close\r\n\r\n';
    expect(await siege.sendBytes(head, toOriginEnv(siege))).toMatch(/^HTTP\/1\.1 200 /);
    expect(siege.origin.requests.map(({ method, target }) => `${method} ${target}`)).toEqual(['GET /v2/info?x=1']);
  },

  'router disagreement: method override': async (siege) => {
    const headers = { 'X-HTTP-Method-Override': 'DELETE', 'X-HTTP-Method': 'DELETE', 'X-Method-Override': 'DELETE' };
    for (const method of ['POST', 'PUT', 'GET', 'PATCH']) {
      const target = `${toTarget(ALICES, 'bob')}?_method=DELETE&X-HTTP-Method-Override=DELETE`;
      const body = method === 'GET' ? {} : { body: '_method=DELETE' };
      const form = { 'Content-Type': 'application/x-www-form-urlencoded' };
      await siege.refuses({ method, target, token: ADMIN, headers: { ...headers, ...form }, ...body }, 404, 10000);
    }
    // The other way round, a removal stays one.
    for (const override of ['GET', 'POST', 'OPTIONS']) {
      const asked = { 'X-HTTP-Method-Override': override };
      await siege.refuses({ headers: asked }, 403, 10003, toOriginEnv(siege));
    }
  },
});
