import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { decideBackendUser, toReservedIds, type UnmappedUsers } from '../../src/directory/users.ts';
import { BACKEND_USER, OTHER_BACKEND_USER } from '../support/sample-directory.ts';

const STRANGER = 'aaaaaaaa-bbbb-4ccc-8ddd-eeeeeeeeeeee';
const KEY = '11111111-aaaa-4111-8111-111111111111';

const find = (users: Readonly<Record<string, string>>, unmappedUsers: UnmappedUsers, legacyUser: string) => {
  const map = new Map(Object.entries(users));
  const isReserved = toReservedIds(map).has(legacyUser.toLowerCase());
  return decideBackendUser({ legacyUser, mapped: map.get(legacyUser), unmappedUsers, isReserved });
};

describe('which backend user a legacy id means', () => {
  it('is what the mapping says', () => {
    expect(find({ a: BACKEND_USER }, 'refuse', 'a')).toBe(BACKEND_USER);
    expect(find({ a: BACKEND_USER }, 'same', 'a')).toBe(BACKEND_USER);
  });

  it('is nobody without a mapping', () => {
    expect(find({ a: BACKEND_USER }, 'refuse', STRANGER)).toBeUndefined();
  });

  it('is the same UUID without a mapping, in lower case, where both sides use the same', () => {
    expect(find({}, 'same', STRANGER.toUpperCase())).toBe(STRANGER);
    for (const id of ['uaa-id-1', '', `${STRANGER} `, `${STRANGER}\n`, STRANGER.replaceAll('-', ''), `{${STRANGER}}`]) {
      expect(find({}, 'same', id)).toBeUndefined();
    }
  });

  it('never takes the value of a mapping for a legacy id, in any spelling', () => {
    for (const unmappedUsers of ['same', 'refuse'] as const) {
      expect(find({ a: BACKEND_USER }, unmappedUsers, BACKEND_USER)).toBeUndefined();
      expect(find({ a: BACKEND_USER }, unmappedUsers, BACKEND_USER.toUpperCase())).toBeUndefined();
    }
  });

  it('never takes another spelling of a mapped id for an unmapped one: that is another backend user', () => {
    expect(find({ [KEY]: BACKEND_USER }, 'same', KEY.toUpperCase())).toBeUndefined();
    expect(find({ [KEY.toUpperCase()]: BACKEND_USER }, 'same', KEY)).toBeUndefined();
  });

  it('is never a backend user that a mapping gives to somebody else', () => {
    const id = fc.constantFrom(BACKEND_USER, OTHER_BACKEND_USER, STRANGER, KEY, 'a', 'b');
    const uuid = fc.constantFrom(BACKEND_USER, OTHER_BACKEND_USER, STRANGER, KEY);
    fc.assert(
      fc.property(fc.dictionary(id, uuid), id, fc.boolean(), (users, asked, isUpper) => {
        const legacyUser = isUpper ? asked.toUpperCase() : asked;
        const found = find(users, 'same', legacyUser);
        if (found === undefined || users[legacyUser] === found) return;
        expect(Object.values(users)).not.toContain(found);
      }),
      { seed: 20251121, numRuns: 1000 },
    );
  });
});
