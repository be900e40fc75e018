/** Which era a client sees: decisions.md, section 2. What each change does: `legacy-changes.test.ts`. */
import { describe, expect, it } from 'vitest';
import { type ClientRule, chooseShape, PROFILE_NAMES, type ProfileName, profileOf } from '../../src/legacy/profiles.ts';

/** The table of decisions.md, section 2, and its paragraph on access. */
const TABLE: readonly [ProfileName, { removal: string; stamp: string; keys: string; text: string; access: boolean }][] =
  [
    [
      '2014-12',
      {
        removal: 'organization',
        stamp: '1970-01-01T00:00:00+00:00',
        keys: 'code description error_code',
        text: 'Invalid relation: x',
        access: false,
      },
    ],
    [
      '2015-01',
      {
        removal: 'organization',
        stamp: '1970-01-01T00:00:00Z',
        keys: 'code description error_code',
        text: 'Invalid relation: x',
        access: false,
      },
    ],
    [
      '2015-11',
      {
        removal: 'empty',
        stamp: '1970-01-01T00:00:00Z',
        keys: 'code description error_code',
        text: 'Invalid relation: x',
        access: false,
      },
    ],
    [
      '2017-03',
      { removal: 'empty', stamp: '1970-01-01T00:00:00Z', keys: 'description error_code code', text: 'x', access: true },
    ],
  ];

describe('the profiles', () => {
  it('are the four of the table, in order of time', () => {
    expect(PROFILE_NAMES).toEqual(TABLE.map(([name]) => name));
  });

  it.each(TABLE)('%s is what the table says', (name, { removal, stamp, keys, text, access }) => {
    const profile = profileOf(name);
    expect(profile.name).toBe(name);
    expect(profile.shape.removalAnswers).toBe(removal);
    expect(profile.shape.toTimestamp(0)).toBe(stamp);
    expect(profile.shape.errorKeys.join(' ')).toBe(keys);
    expect(profile.shape.toInvalidRelation('x')).toBe(text);
    expect(profile.access).toEqual({ mayRemoveSelf: access, keepsLastManager: access });
  });
});

describe('the shape of a client’s answers', () => {
  const rules: ClientRule[] = [
    { userAgentPrefix: 'cf/', profile: '2015-01' },
    { clientId: 'robot', profile: '2015-11' },
    { userAgentPrefix: 'cf/6', profile: '2017-03' },
  ];
  const chosen = (userAgent: string, clientId?: string, of: readonly ClientRule[] = rules) =>
    chooseShape(of, '2014-12', { userAgent, clientId }).name;

  it('is the default where no rule matches', () => {
    expect(chosen('curl/8.0')).toBe('2014-12');
    expect(chooseShape([], '2015-11', { userAgent: '', clientId: undefined }).name).toBe('2015-11');
  });

  it('is that of the first rule that matches, by User-Agent prefix or client id', () => {
    expect(chosen('cf/6.53.0')).toBe('2015-01');
    expect(chosen('cf/6.53.0', 'robot')).toBe('2015-01');
    expect(chosen('curl/8.0', 'robot')).toBe('2015-11');
  });

  it('compares prefixes and ids exactly', () => {
    expect(chosen('my cf/6')).toBe('2014-12');
    expect(chosen('CF/6')).toBe('2014-12');
    expect(chosen('curl/8.0', 'robot2')).toBe('2014-12');
    expect(chosen('robot')).toBe('2014-12');
  });

  it('follows no client id rule before a token is verified', () => {
    expect(chosen('curl/8.0', undefined)).toBe('2014-12');
  });

  it('is 2017-03 for cf-java-client, which a body makes fail after the removal', () => {
    expect(chosen('CloudFoundryJavaClient/5.10.0.RELEASE (Java; Oracle/17)')).toBe('2017-03');
    expect(chosen('CloudFoundryJavaClient')).toBe('2014-12');
  });

  it('lets the operator’s rule stand before the built-in one', () => {
    expect(chosen('CloudFoundryJavaClient/5', undefined, [{ userAgentPrefix: 'Cloud', profile: '2015-01' }])).toBe(
      '2015-01',
    );
    expect(chosen('CloudFoundryJavaClient/5', 'robot')).toBe('2015-11');
  });
});
