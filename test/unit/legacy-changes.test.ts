/** Each difference between two eras, one by one: what it changes, and that it changes nothing else. */
import { readdirSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { errorKeysReordered } from '../../src/legacy/changes/error-keys-reordered.ts';
import { relationTextBare } from '../../src/legacy/changes/relation-text-bare.ts';
import { removalAnswersEmpty } from '../../src/legacy/changes/removal-answers-empty.ts';
import { removalGuardsManagers } from '../../src/legacy/changes/removal-guards-managers.ts';
import { timestampsInZulu } from '../../src/legacy/changes/timestamps-in-zulu.ts';
import { type Change, type Era, toIsoSeconds } from '../../src/legacy/era.ts';
import { PROFILE_NAMES, profileOf } from '../../src/legacy/profiles.ts';

const CHANGES: Record<string, Change> = {
  'error-keys-reordered.ts': errorKeysReordered,
  'relation-text-bare.ts': relationTextBare,
  'removal-answers-empty.ts': removalAnswersEmpty,
  'removal-guards-managers.ts': removalGuardsManagers,
  'timestamps-in-zulu.ts': timestampsInZulu,
};

const before: Era = profileOf('2014-12');
/** Everything an era says, as values that can be compared. */
const describeEra = ({ shape, access }: Era) => ({
  removalAnswers: shape.removalAnswers,
  timestamp: shape.toTimestamp(1416857557),
  errorKeys: shape.errorKeys,
  unknownErrorKeys: shape.unknownErrorKeys,
  invalidRelation: shape.toInvalidRelation('x'),
  ...access,
});
const changed = (change: Change) => describeEra(change.apply(before));
const unchanged = describeEra(before);

it('every file of legacy/changes/ has its test here', () => {
  const files = readdirSync(new URL('../../src/legacy/changes/', import.meta.url));
  expect(files.sort()).toEqual(Object.keys(CHANGES).sort());
});

describe.each(Object.entries(CHANGES))('%s', (_, change) => {
  it('has a date, a source and a reason', () => {
    expect(change.date).toMatch(/^201\d-\d\d-\d\d$/);
    expect(Number.isNaN(Date.parse(change.date))).toBe(false);
    expect(change.source).toMatch(/[0-9a-f]{10}/);
    expect(change.reason).toMatch(/\.$/);
  });

  it('leaves the era it was given as it was', () => {
    change.apply(before);
    expect(describeEra(before)).toEqual(unchanged);
  });

  it('is part of the first profile on or after its date', () => {
    const firstProfile = PROFILE_NAMES.find((name) => name >= change.date.slice(0, 7)) ?? 'none';
    const index = PROFILE_NAMES.indexOf(firstProfile as never);
    const applied = (name: (typeof PROFILE_NAMES)[number]) => {
      const era = profileOf(name);
      return JSON.stringify(describeEra(change.apply(era))) === JSON.stringify(describeEra(era));
    };
    expect(PROFILE_NAMES.map(applied)).toEqual(PROFILE_NAMES.map((_name, at) => at >= index));
  });
});

it('timestamps end in Z instead of +00:00', () => {
  expect(unchanged.timestamp).toBe('2014-11-24T19:32:37+00:00');
  expect(changed(timestampsInZulu)).toEqual({ ...unchanged, timestamp: '2014-11-24T19:32:37Z' });
  expect(toIsoSeconds(0)).toBe('1970-01-01T00:00:00');
});

it('a removal answers nothing instead of the organization', () => {
  expect(changed(removalAnswersEmpty)).toEqual({ ...unchanged, removalAnswers: 'empty' });
});

it('users may remove themselves, and the last manager stays; no shape changes', () => {
  expect(changed(removalGuardsManagers)).toEqual({ ...unchanged, mayRemoveSelf: true, keepsLastManager: true });
});

it('error bodies begin with the description, those of unknown errors too', () => {
  const errorKeys = ['description', 'error_code', 'code'];
  expect(unchanged.unknownErrorKeys).toEqual(['error_code', 'description', 'code']);
  expect(changed(errorKeysReordered)).toEqual({ ...unchanged, errorKeys, unknownErrorKeys: errorKeys });
});

it('the text of 1002 loses its prefix', () => {
  expect(unchanged.invalidRelation).toBe('Invalid relation: x');
  expect(changed(relationTextBare)).toEqual({ ...unchanged, invalidRelation: 'x' });
});
