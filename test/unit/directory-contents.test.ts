import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { parseDirectory } from '../../src/directory/contents.ts';
import { parseRecord, toRecordJson } from '../../src/directory/record.ts';
import { parseTimestamp, toTimestamp } from '../../src/directory/timestamp.ts';
import { BACKEND_USER, OTHER_BACKEND_USER, sampleDirectory, sampleRecord } from '../support/sample-directory.ts';

const toMistakes = (text: string) => {
  const parsed = parseDirectory(text);
  return parsed.ok ? [] : parsed.mistakes;
};

const mistakesOf = (changes: Readonly<Record<string, unknown>>) =>
  toMistakes(sampleDirectory({ organizations: [sampleRecord(changes)] }));

const LEGACY_ID = '1 to 255 characters without "/" and control characters';
const TIME =
  'a time like 2014-11-24T19:32:37Z, with any offset and whole seconds (the legacy server kept no fractions)';

describe('the directory file', () => {
  it('becomes what the policy asks for', () => {
    const record = sampleRecord({ guid: 'g', updated_at: '2015-03-01T09:00:00+02:00', shared: true });
    const parsed = parseDirectory(
      sampleDirectory({ organizations: [record], users: { a: BACKEND_USER.toUpperCase() } }),
    );
    expect(parsed.ok && parsed.value).toEqual({
      organizations: new Map([
        [
          'g',
          {
            guid: 'g',
            name: record['name'],
            createdAtSeconds: 1_416_857_557,
            updatedAtSeconds: 1_425_193_200,
            billingEnabled: false,
            quotaDefinitionGuid: '221c8e4c-a25f-455d-9514-ee4f0252285a',
            status: 'active',
            managers: new Set(['uaa-id-120']),
            backend: {
              organizationId: (record['backend'] as { organization_id: string }).organization_id,
              credential: (record['backend'] as { credential: string }).credential,
            },
          },
        ],
      ]),
      users: new Map([['a', BACKEND_USER]]),
      unmappedUsers: 'refuse',
    });
  });

  it('may be empty: a team may begin with nothing moved', () => {
    expect(toMistakes(sampleDirectory())).toEqual([]);
  });

  it.each([
    [{ guid: '' }, 'guid: found an empty text', LEGACY_ID],
    [{ guid: 'a/b' }, 'guid: found "a/b"', LEGACY_ID],
    [{ guid: 'a'.repeat(256) }, `guid: found "${'a'.repeat(60)}…"`, LEGACY_ID],
    [{ guid: 7 }, 'guid: found 7', LEGACY_ID],
    [{ name: undefined }, 'name: found nothing', '1 to 255 characters without control characters'],
    [{ name: 'a\u0007' }, 'name: found "a\\u0007"', '1 to 255 characters without control characters'],
    [{ name: '\ud83d' }, 'name: found "\\ud83d"', '1 to 255 characters without control characters'],
    [{ created_at: '2014-11-24T19:32:37.5Z' }, 'created_at: found "2014-11-24T19:32:37.5Z"', TIME],
    [{ updated_at: 1_416_857_557 }, 'updated_at: found 1416857557', `null, or ${TIME}`],
    [{ billing_enabled: 'false' }, 'billing_enabled: found "false"', 'true or false'],
    [{ quota_definition_guid: [] }, 'quota_definition_guid: found a list', `null, or ${LEGACY_ID}`],
    [{ status: 'Active' }, 'status: found "Active"', '"active" or "suspended"'],
    [{ managers: 'uaa-id-1' }, 'managers: found "uaa-id-1"', 'a list of legacy user ids, which may be empty'],
    [{ managers: ['a', null] }, 'managers[1]: found null', `a legacy user id: ${LEGACY_ID}`],
    [{ backend: [] }, 'backend: found a list', 'an object with organization_id and credential'],
    [{ shared: 'yes' }, 'shared: found "yes"', 'true or false'],
  ])('refuses %j with path, finding and what is accepted', (changes, found, accepted) => {
    expect(mistakesOf(changes)).toEqual([`organizations[0].${found}; accepted: ${accepted}`]);
  });

  it('refuses unknown members, so that "manager" does not leave an organization without any', () => {
    const known =
      'guid, name, created_at, updated_at, billing_enabled, quota_definition_guid, status, managers, backend, shared';
    expect(mistakesOf({ manager: ['a'], managers: [] })).toEqual([
      `organizations[0].manager: unknown member; accepted: ${known}`,
    ]);
    expect(mistakesOf({ backend: { organization_id: 'o', credential: 'c', constructor: 'x' } })).toEqual([
      'organizations[0].backend.constructor: unknown member; accepted: organization_id, credential',
    ]);
    expect(toMistakes('{"organizations":[],"users":{},"__proto__":{}}')).toEqual([
      '__proto__: unknown member; accepted: organizations, users, unmapped_users',
    ]);
  });

  it('never shows what stands where the name of a credential belongs', () => {
    const secrets = [{ token: 'hunter2' }, `hunter2${'x'.repeat(255)}`];
    for (const credential of secrets) {
      const mistakes = mistakesOf({ backend: { organization_id: 'o', credential } }).join();
      expect(mistakes).toMatch(/backend\.credential: found/);
      expect(mistakes).not.toContain('hunter2');
    }
  });

  it('lists every mistake at once, up to a number that a person reads', () => {
    const organizations = [sampleRecord({ guid: '', status: 'x' }), 7, sampleRecord({ name: '' })];
    expect(toMistakes(sampleDirectory({ organizations, users: [], unmapped_users: true }))).toHaveLength(6);
    const many = toMistakes(sampleDirectory({ organizations: Array.from({ length: 60 }, () => 7) }));
    expect(many).toHaveLength(51);
    expect(many.at(-1)).toBe('and 10 more');
  });

  it('refuses a guid that stands twice', () => {
    const organizations = [sampleRecord({ guid: 'g' }), sampleRecord(), sampleRecord({ guid: 'g' })];
    expect(toMistakes(sampleDirectory({ organizations }))).toEqual([
      'organizations[0], organizations[2]: found one guid ("g"); accepted: one record for each',
    ]);
  });

  it('refuses two guids with one credential or organization_id, unless every such record says "shared": true', () => {
    const backend = { organization_id: 'o', credential: 'c' };
    const load = (...records: object[]) => toMistakes(sampleDirectory({ organizations: records }));
    expect(load(sampleRecord({ backend }), sampleRecord({ backend }))).toHaveLength(2);
    expect(load(sampleRecord({ backend, shared: true }), sampleRecord({ backend }))).toHaveLength(2);
    expect(load(sampleRecord({ backend, shared: true }), sampleRecord({ backend, shared: true }))).toEqual([]);
    expect(load(sampleRecord({ backend }), sampleRecord({ backend: { ...backend, credential: 'd' } }))).toEqual([
      'organizations[0], organizations[1]: found one organization_id; accepted: another for each guid, or "shared": true in each of these records',
    ]);
  });

  it('refuses one credential with two organization_ids even where shared: one of them must be wrong', () => {
    const organizations = ['o', 'p'].map((organization_id) =>
      sampleRecord({ backend: { organization_id, credential: 'c' }, shared: true }),
    );
    expect(toMistakes(sampleDirectory({ organizations }))).toEqual([
      'organizations[0], organizations[1]: found one credential with 2 organization_ids; accepted: one, since a credential belongs to one organization',
    ]);
  });

  it('refuses backend user ids that are no UUIDs, and two mappings of one user', () => {
    expect(toMistakes(sampleDirectory({ users: { a: 'b', c: null } }))).toEqual([
      'users.a: found "b"; accepted: the backend\'s user id, a UUID',
      "users.c: found null; accepted: the backend's user id, a UUID",
    ]);
    expect(toMistakes(`{"organizations":[],"users":{"a":"${BACKEND_USER}","a":"${OTHER_BACKEND_USER}"}}`)).toEqual([
      'users.a: stands twice',
    ]);
  });

  it('refuses a mapping whose value is the legacy id of another user', () => {
    const swapped = { [BACKEND_USER]: OTHER_BACKEND_USER, [OTHER_BACKEND_USER]: BACKEND_USER };
    expect(toMistakes(sampleDirectory({ users: swapped }))).toHaveLength(2);
    expect(toMistakes(sampleDirectory({ users: { [BACKEND_USER]: BACKEND_USER } }))).toEqual([]);
  });

  it('keeps users named like properties of every object', () => {
    const parsed = parseDirectory(
      `{"organizations":[],"users":{"__proto__":"${BACKEND_USER}","constructor":"${BACKEND_USER}"}}`,
    );
    expect(parsed.ok && [...parsed.value.users.keys()]).toEqual(['__proto__', 'constructor']);
  });
});

describe('a record', () => {
  it('reads as it was written, whatever is in it', () => {
    const text = fc
      .string({ unit: 'grapheme', minLength: 1, maxLength: 20 })
      .filter((value) => /^[^\p{Cc}\p{Cs}/]{1,255}$/u.test(value));
    const seconds = fc.integer({ min: 0, max: 253_402_300_799 });
    const organization = fc.record({
      guid: text,
      name: text,
      createdAtSeconds: seconds,
      updatedAtSeconds: fc.option(seconds),
      billingEnabled: fc.boolean(),
      quotaDefinitionGuid: fc.option(text),
      status: fc.constantFrom('active', 'suspended'),
      managers: fc.array(text).map((ids) => new Set(ids)),
      backend: fc.record({ organizationId: text, credential: text }),
    });
    fc.assert(
      fc.property(organization, (original) => {
        const parsed = parseRecord(JSON.parse(toRecordJson(original)), []);
        expect(parsed.ok && parsed.value.organization).toEqual(original);
      }),
      { seed: 20251121, numRuns: 500 },
    );
  });
});

describe('a timestamp', () => {
  it.each([
    ['2014-11-24T19:32:37Z', '2014-11-24T19:32:37Z'],
    ['2014-11-24T19:32:37+00:00', '2014-11-24T19:32:37Z'],
    ['2014-11-24t19:32:37z', '2014-11-24T19:32:37Z'],
    ['2014-11-24T00:30:00+05:45', '2014-11-23T18:45:00Z'],
    ['2014-12-31T23:00:00-01:30', '2015-01-01T00:30:00Z'],
    ['2012-02-29T00:00:00Z', '2012-02-29T00:00:00Z'],
  ])('%s is %s', (text, utc) => {
    const seconds = parseTimestamp(text);
    expect(seconds !== undefined && toTimestamp(seconds)).toBe(utc);
  });

  it.each([
    '2014-11-24T19:32:37.000Z',
    '2014-11-24T19:32:37',
    '2014-11-24 19:32:37Z',
    '2014-11-24',
    '2014-02-30T00:00:00Z',
    '2013-02-29T00:00:00Z',
    '2014-11-24T24:00:00Z',
    '2014-06-30T23:59:60Z',
    '2014-11-24T19:32:37+24:00',
    '2014-11-24T19:32:37+0100',
    '12014-11-24T19:32:37Z',
    '0000-01-01T00:00:00Z',
    '9999-12-31T23:59:59-01:00',
    '',
  ])('refuses %j', (text) => {
    expect(parseTimestamp(text)).toBeUndefined();
  });
});
