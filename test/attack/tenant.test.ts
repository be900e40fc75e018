/** Attacks on the wall between two tenants: Mallory may do as she likes in her own organization, and nothing in Alice's. */
import { expect } from 'vitest';
import { describeAttacks } from './describe-attacks.ts';
import { ADMIN, ALICE, ALICES, CONSTRUCTOR, MALLORY, MALLORYS, PROTO, sign, toTarget, USERS } from './siege.ts';

const NAMES = ['__proto__', 'constructor', 'prototype', 'toString', 'hasOwnProperty', 'valueOf', '__defineGetter__'];

/** Of one request of each kind, among which no two may influence each other. */
const ROUNDS = 20;

describeAttacks('tenant', {
  "another tenant's guid": async (siege) => {
    for (const user of ['bob', 'alice', 'mallory', USERS.bob, 'nobody']) {
      await siege.refuses({ target: toTarget(ALICES, user) }, 403, 10003);
      await siege.refuses({ target: toTarget(ALICES, user), token: await sign({ user_id: 'Alice' }) }, 403, 10003);
    }
    const spellings = [
      ALICES.toUpperCase(),
      `${ALICES} `,
      `%20${ALICES}`,
      `${ALICES}%00`,
      `{${ALICES}}`,
      `urn:uuid:${ALICES}`,
    ];
    for (const guid of [
      ...spellings,
      ALICES.replaceAll('-', ''),
      `${MALLORYS},${ALICES}`,
      `${MALLORYS};${ALICES}`,
      '*',
    ]) {
      const target = toTarget(encodeURI(decodeURI(guid)), 'bob');
      await siege.refuses({ target }, 404, 30003);
      await siege.refuses({ target, token: ALICE }, 404, 30003);
    }
    await siege.refuses({ method: 'GET', target: `/v2/organizations/${ALICES}`, token: null }, 401, 10002);
    await siege.removes({ token: ALICE }, 'alices', USERS.bob);
  },

  'the confused deputy: another organization named beside the path': async (siege) => {
    const target = toTarget(MALLORYS, 'bob');
    const names = ['organization', 'organization_id', 'organization_guid', 'guid', 'credential', 'org_id'];
    const headers = {
      'X-Organization': ALICES,
      'X-Organization-Id': 'org-alices',
      Organization: 'alices',
      Tenant: ALICES,
    };
    const body = JSON.stringify({ guid: ALICES, organization_id: 'org-alices', backend: { credential: 'alices' } });
    for (const name of names) {
      await siege.removes(
        { target: `${target}?${name}=${ALICES}&${name}=alices`, headers, body },
        'mallorys',
        USERS.bob,
      );
    }
    const form = { 'Content-Type': 'application/x-www-form-urlencoded' };
    await siege.removes({ target, headers: form, body: `guid=${ALICES}&_method=PUT` }, 'mallorys', USERS.bob);
    // What the backend is asked carries the operator's credential of that tenant, and nothing that the client sent.
    const [call] = siege.backend.callsTo('remove').slice(-1);
    expect(call?.target).toBe(`/v1/organization/members/${USERS.bob}`);
    expect(Object.keys(call?.headers ?? {}).sort()).not.toContain('x-organization');
    expect(call?.body).toBe('');
    expect(JSON.stringify(call)).not.toContain(MALLORY);
  },

  'access rules chosen by User-Agent': async (siege) => {
    const env = {
      LEGACY_PROFILE_BY_CLIENT: '[{"user_agent":"era/","profile":"2017-03"},{"client_id":"cli","profile":"2017-03"}]',
    };
    const bob = await sign({ user_id: 'bob', client_id: 'cli' });
    for (const agent of ['CloudFoundryJavaClient/5', 'era/2017-03', 'Go-CF-client/1.1', 'cf/6.53', '']) {
      // Bob may leave by himself only where LEGACY_PROFILE itself is 2017-03.
      const answer = await siege.refuses({ token: bob, headers: { 'User-Agent': agent } }, 403, 10003, env);
      expect(Object.keys(JSON.parse(answer.body)), agent).toEqual(['description', 'error_code', 'code']);
    }
  },

  'constructor and __proto__ as guid': async (siege) => {
    for (const name of NAMES) {
      await siege.refuses({ target: toTarget(name, 'bob'), token: ADMIN }, 404, 30003);
      await siege.refuses({ target: `/v2/organizations/${name}`, method: 'GET', token: ADMIN }, 404, 30003);
    }
  },

  'constructor and __proto__ as user': async (siege) => {
    for (const name of NAMES) {
      await siege.refuses({ target: toTarget(ALICES, name), token: ADMIN }, 400, 1002);
      await siege.refuses({ token: await sign({ user_id: name }) }, 403, 10003);
    }
  },

  'constructor and __proto__ as client': async (siege) => {
    const env = { LEGACY_PROFILE_BY_CLIENT: '[{"client_id":"toString","profile":"2017-03"}]' };
    for (const name of NAMES) {
      await siege.refuses({ token: await sign({ user_id: undefined, client_id: name }) }, 403, 10003, env);
      const headers = { 'User-Agent': `${name}/1` };
      await siege.removes(
        { token: await sign({ user_id: 'alice', client_id: name === 'toString' ? 'x' : name }), headers },
        'alices',
        USERS.bob,
        env,
      );
    }
  },

  'constructor and __proto__ as credential': async (siege) => {
    for (const guid of [PROTO, CONSTRUCTOR]) {
      await siege.refuses({ target: toTarget(guid, 'bob') }, 503, 10015);
      await siege.refuses({ target: toTarget(guid, 'bob'), token: ADMIN }, 503, 10015);
    }
  },

  'cache poisoning between tenants': async (siege) => {
    siege.forget();
    const expected: string[] = [];
    const kinds = [
      { attack: { token: ALICE }, status: 201, removal: `alices ${USERS.bob}` },
      { attack: { token: MALLORY }, status: 403 },
      { attack: { token: MALLORY, target: toTarget(MALLORYS, 'bob') }, status: 201, removal: `mallorys ${USERS.bob}` },
      { attack: { token: ALICE, target: toTarget(MALLORYS, 'bob') }, status: 403 },
      { attack: { token: `${MALLORY.slice(0, -4)}AAAA` }, status: 401 },
      { attack: { token: [MALLORY.split('.')[0], ALICE.split('.')[1], MALLORY.split('.')[2]].join('.') }, status: 401 },
      { attack: { token: ALICE, target: toTarget(ALICES.toUpperCase(), 'bob') }, status: 404 },
      { attack: { token: ALICE, target: toTarget(ALICES, 'BOB') }, status: 400 },
    ];
    const sent = Array.from({ length: ROUNDS }, () => kinds).flat();
    const answers = await Promise.all(sent.map(({ attack }) => siege.send(attack)));
    expect(answers.map(({ status }) => status)).toEqual(sent.map(({ status }) => status));
    for (const { removal } of sent) if (removal !== undefined) expected.push(removal);
    expect(siege.removals().sort()).toEqual(expected.sort());
    for (const [index, { body, status }] of answers.entries()) {
      if (status !== 201) continue;
      const own = sent[index]?.removal?.startsWith('alices') ? ALICES : MALLORYS;
      expect(JSON.parse(body)).toMatchObject({ metadata: { guid: own } });
    }
  },
});
