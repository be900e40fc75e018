/** The query rules: legacy.md, section 1.3, and decisions.md, section 3. */
import { describe, expect, it } from 'vitest';
import { getOrganization } from '../../src/legacy/get-organization.ts';
import { PROFILE_NAMES, profileOf } from '../../src/legacy/profiles.ts';
import { removeOrgUser } from '../../src/legacy/remove-org-user.ts';

const { shape } = profileOf('2014-12');
const check = (query: string, of = shape) => removeOrgUser.checkQuery(new URLSearchParams(query), of);
const REFUSED = { ok: false, failure: { kind: 'query-invalid', parameter: 'inline-relations-depth' } };

describe('a removal with a query', () => {
  it.each([
    '',
    'inline-relations-depth=0',
    'inline-relations-depth=-1',
    'inline-relations-depth=%2B0',
    'inline-relations-depth=000',
    'inline-relations-depth=3&inline-relations-depth=0',
    'recursive=true',
    'recursive=anything&async=true',
    'page=x&results-per-page=y&q=z',
    'inline_relations_depth=3',
    'Inline-Relations-Depth=3',
    'constructor=1&__proto__=1',
  ])('is accepted with ?%s', (query) => {
    expect(check(query)).toEqual({ ok: true, value: undefined });
  });

  it.each([
    'inline-relations-depth=1',
    'inline-relations-depth=99999999999999999999',
    'inline-relations-depth=',
    'inline-relations-depth',
    'inline-relations-depth=abc',
    'inline-relations-depth=0.5',
    'inline-relations-depth=0x0',
    'inline-relations-depth=%200',
    'inline-relations-depth=0%0A',
    'inline-relations-depth=0&inline-relations-depth=1',
    'recursive=true&inline-relations-depth=1',
  ])('is refused before anything is removed with ?%s', (query) => {
    expect(check(query)).toEqual(REFUSED);
  });

  it('may ask for any depth where the answer has no body', () => {
    for (const name of PROFILE_NAMES) {
      const isIgnored = check('inline-relations-depth=1', profileOf(name).shape).ok;
      expect([name, isIgnored]).toEqual([name, name >= '2015-11']);
    }
  });
});

it('reading an organization refuses a depth in every era: its answer has a body in all of them', () => {
  for (const name of PROFILE_NAMES) {
    const query = new URLSearchParams('inline-relations-depth=1');
    expect(getOrganization.checkQuery(query, profileOf(name).shape)).toEqual(REFUSED);
  }
});
