/** Attacks on the limits: getting more than one's own, or spending somebody else's. The arithmetic: `test/property/rate-limit.test.ts`. A million callers in one process: `inside.test.ts`. */
import { expect } from 'vitest';
import { createSecret, signToken, toClaims } from '../support/tokens.ts';
import { describeAttacks } from './describe-attacks.ts';
import { ALICE, ALICES, MALLORY, type Siege, sign, USERS } from './siege.ts';

const QUOTA = 2;
const WINDOW_SECONDS = 3600;

const ENV = {
  RATE_LIMIT: `${QUOTA}/1h`,
  RATE_LIMIT_UNAUTHENTICATED: `${QUOTA}/1h`,
};

/** Ids that one key or another might not tell apart: by its separators, its encoding, its case, or the slot of a Cluster. */
const NAMES = [
  ...[
    'x',
    'X',
    ' x',
    'x ',
    'x"',
    '"x"',
    'x\\',
    "x'",
    'x:y',
    'x',
    'y:x',
    '{x}',
    'x}{y',
    '{x',
    '*',
    'x*',
    '?',
    '',
    'x\0',
    'x\n',
    'x\r\n',
  ],
  ...[
    '127.0.0.1',
    'unknown',
    'address:127.0.0.1',
    'caller:x',
    'caller:"x"',
    `organization:${ALICES}`,
    ALICES,
    'holdover:limit:x',
  ],
  ...['é', 'e\u0301', '\ud800', '\udc00', '\ufffd', '😀', 'ﬃ', 'ffi', 'ı', 'I', 'i', 'İ', '\u202ex', '\u200bx'],
];

/** Takes the whole quota of whoever has this token, and not one unit more. */
async function spendsExactlyOnce(
  siege: Siege,
  token: string | null,
  refused: readonly [number, number],
  shown: string,
) {
  const answers = [];
  for (let tries = 0; tries <= QUOTA; tries += 1) answers.push(await siege.send({ token }, ENV));
  expect(
    answers.map(({ code }) => code),
    shown,
  ).toEqual([refused[0], refused[0], refused[1]]);
}

describeAttacks('limiter', {
  'key collisions between callers, addresses and organizations': async (siege) => {
    for (const name of new Set(NAMES.filter((text) => text !== ''))) {
      await spendsExactlyOnce(siege, await sign({ user_id: name }), [10003, 10013], JSON.stringify(name));
    }
    await spendsExactlyOnce(siege, null, [10002, 10014], 'nobody');
    siege.expectNothingHappened();
  },

  "another caller's quota spent": async (siege) => {
    const forged = await signToken(
      toClaims({ user_id: 'carol' }),
      createSecret('somebody else has this secret, not us'),
    );
    const expired = await sign({ user_id: 'carol', exp: 1 });
    for (const token of [forged, expired, forged, expired]) await siege.refuses({ token }, 401, 1000, ENV);
    await spendsExactlyOnce(siege, await sign({ user_id: 'carol' }), [10003, 10013], 'carol');
  },

  "another tenant's quota spent": async (siege) => {
    const env = { RATE_LIMIT_ORGANIZATION: `${QUOTA}/1h` };
    for (const token of [MALLORY, MALLORY, MALLORY, await sign({ user_id: 'x', scope: [] }), null, `${ALICE}x`]) {
      const { status } = await siege.send({ token }, env);
      expect([401, 403]).toContain(status);
    }
    for (let left = QUOTA; left > 0; left -= 1) await siege.removes({ token: ALICE }, 'alices', USERS.bob, env);
    await siege.refuses({ token: ALICE }, 429, 10013, env);
  },

  'a fresh quota by a fresh token': async (siege) => {
    const changes = [
      { jti: 'a' },
      { jti: 'b', client_id: 'b' },
      { jti: 'c', client_id: 'c', email: 'x', aud: ['cloud_controller', 'x'] },
    ];
    const codes = [];
    for (const [index, change] of changes.entries()) {
      const headers = { 'User-Agent': `agent-${index}`, 'X-Forwarded-For': `1.1.1.${index}` };
      const token = await sign({ user_id: 'dave', ...change, exp: Math.floor(Date.now() / 1000) + 1000 + index });
      codes.push((await siege.send({ token, headers }, ENV)).code);
    }
    expect(codes).toEqual([10003, 10003, 10013]);
  },

  'a cardinality bomb in Redis': async (siege) => {
    const callers = Array.from({ length: 200 }, (_, index) => sign({ user_id: `caller-${index}` }));
    await Promise.all(callers.map(async (token) => siege.send({ token: await token }, ENV)));
    const redis = siege.redis.client();
    const keys = await redis.keys('holdover:*');
    const limits = keys.filter((key) => key.startsWith('holdover:limit:'));
    expect(limits.length).toBeGreaterThanOrEqual(callers.length);
    const ttls = await Promise.all(limits.map((key) => redis.pttl(key)));
    // A second more than the window, so that a key outlives its meaning.
    expect(ttls.filter((ttl) => ttl <= 0 || ttl > (WINDOW_SECONDS + 1) * 1000)).toEqual([]);
    // Besides the limits nothing grows with who calls.
    const others = keys.filter((key) => !key.startsWith('holdover:limit:') && !key.startsWith('holdover:directory:'));
    expect(others.filter((key) => key !== 'holdover:audit')).toEqual([]);
  },
});
