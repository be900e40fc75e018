/**
 * Over spellings of one path: no spelling of an adapted path is read by a lenient server as adapted and by Holdover as
 * something else. Single spellings with their reasons: `test/unit/legacy-route.test.ts`.
 */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { createMatchRoute, looselyMatches, toPathname, toRoutePath } from '../../src/legacy/route.ts';

const PATTERN = '/v2/organizations/:organization/users/:user';
const LITERALS = ['v2', 'organizations', 'users'];
const RUNS = { seed: 20141124, numRuns: 3000 };

const match = (path: string) => createMatchRoute(PATTERN)(toRoutePath(path));

const id = fc
  .string({
    unit: fc.constantFrom(...'abcXYZ0189-_.~@+!$&,=:', 'é', '☃', '🚨'),
    minLength: 1,
    maxLength: 12,
  })
  .filter((text) => text !== '.' && text !== '..');

/** Percent-encodes every byte of `text`, `layers` times over. */
function encode(text: string, layers: number, isUpperCase: boolean): string {
  let encoded = text;
  for (let layer = 0; layer < layers; layer += 1) {
    encoded =
      layer === 0
        ? [...Buffer.from(encoded)].map((byte) => `%${byte.toString(16).padStart(2, '0')}`).join('')
        : encoded.replaceAll('%', '%25');
  }
  return isUpperCase ? encoded.toUpperCase() : encoded;
}

/** A spelling of `text`: some characters encoded, each up to `maxLayers` times. What `text` holds must survive decoding. */
function spelt(text: string, maxLayers: number): fc.Arbitrary<string> {
  const characters = [...text].map((character) =>
    fc
      .tuple(
        fc.oneof({ weight: 3, arbitrary: fc.constant(0) }, { weight: 1, arbitrary: fc.nat(maxLayers) }),
        fc.boolean(),
      )
      .map(([layers, isUpperCase]) => (layers === 0 ? character : encode(character, layers, isUpperCase))),
  );
  return fc.tuple(...characters).map((parts) => parts.join(''));
}

function inSomeCase(text: string): fc.Arbitrary<string> {
  return fc
    .array(fc.boolean(), { minLength: text.length, maxLength: text.length })
    .map((flips) => [...text].map((letter, at) => (flips[at] ? letter.toUpperCase() : letter)).join(''));
}

/** `/a/b/c` with a separator of its own before each segment. */
function joined(segments: readonly fc.Arbitrary<string>[], separator: fc.Arbitrary<string>): fc.Arbitrary<string> {
  return fc.tuple(...segments.map((segment) => fc.tuple(separator, segment))).map(
    (pairs) =>
      `/${pairs
        .map(([before, segment]) => before + segment)
        .join('')
        .replace(/^\//, '')}`,
  );
}

/** What the legacy router itself took for one separator. */
const SEPARATORS = [
  '/',
  '//',
  '/./',
  '///.//',
  '/x/../',
  '/%2e/',
  '/x/%2E%2e/',
  '/x%FF/../',
  '%2F',
  '%2f%2F',
  '/x%2F..%2f',
];

/** What some other server may. */
const LENIENT_SEPARATORS = [
  ...SEPARATORS,
  ...['\\', '%5c', '%5C/', '%252F', '%25252f', '/%252e/', '/x/%252e%252E/', '/x/..;/', '/x/..;a=b/', '/;/', '/;x=%2f/'],
];

const LENIENT_ENDINGS = [
  '',
  '',
  '/',
  '//',
  '/.',
  '/x/..',
  '%2F',
  '%252f',
  '\\',
  ';',
  ';a=b',
  '%3Fa/b',
  '%23',
  '%00',
  '%00/x',
];

describe('a path the legacy router took for the adapted one', () => {
  const spelling = fc.tuple(id, id).chain(([organization, user]) => {
    const [v2, organizations, users] = LITERALS.map((literal) => spelt(literal, 1));
    const segments = [v2, organizations, spelt(organization, 1), users, spelt(user, 1)] as fc.Arbitrary<string>[];
    return joined(segments, fc.oneof(fc.constant('/'), fc.constantFrom(...SEPARATORS))).map((path) => ({
      path,
      ids: { organization, user },
    }));
  });

  it('is matched with the same ids, however it is spelt', () => {
    fc.assert(
      fc.property(spelling, ({ path, ids }) => {
        expect(Object.fromEntries(match(path) ?? [])).toEqual(ids);
      }),
      RUNS,
    );
  });

  it('is in the loose reading too: the guard is never narrower than the router', () => {
    fc.assert(
      fc.property(spelling, ({ path }) => {
        expect(looselyMatches(PATTERN, path)).toBe(true);
      }),
      RUNS,
    );
  });
});

describe('a path that only a lenient server takes for the adapted one', () => {
  const segment = (text: fc.Arbitrary<string>) =>
    fc
      .tuple(
        text.chain((chosen) => spelt(chosen, 3)),
        fc.constantFrom('', '', '', ';', ';a=b', ';a%2Fb', '%3Bc'),
      )
      .map((parts) => parts.join(''));
  const literals = LITERALS.map((literal) => segment(inSomeCase(literal)));
  const [v2, organizations, users] = literals as [fc.Arbitrary<string>, fc.Arbitrary<string>, fc.Arbitrary<string>];
  const split = fc.constantFrom('a%2Fb', 'a%5cb', '%2Fa', 'a\\b', 'a%252fb');
  const anyId = fc.oneof({ weight: 4, arbitrary: segment(id) }, { weight: 1, arbitrary: split });
  const spelling = fc
    .tuple(
      joined(
        [v2, organizations, anyId, users, anyId],
        fc.oneof(fc.constant('/'), fc.constantFrom(...LENIENT_SEPARATORS)),
      ),
      fc.constantFrom(...LENIENT_ENDINGS),
    )
    .map((parts) => parts.join(''));

  it('is matched, or loosely matched; never neither', () => {
    fc.assert(
      fc.property(spelling, (path) => {
        expect(match(path) !== undefined || looselyMatches(PATTERN, path)).toBe(true);
      }),
      { ...RUNS, numRuns: 10_000 },
    );
  });

  it('is the same behind a host, a query and a fragment', () => {
    fc.assert(
      fc.property(spelling, fc.constantFrom('', '?a=/b', '#a', '?#'), (path, rest) => {
        expect(toPathname(`http://example.org${path}${rest}`)).toBe(path);
        expect(toPathname(path + rest)).toBe(path);
      }),
      RUNS,
    );
  });
});

describe('a path that is clearly another', () => {
  const word = fc.constantFrom('v2', 'v3', 'organizations', 'spaces', 'users', 'managers', 'info', 'u-1', 'g.2', 'é');
  const clean = fc.array(word, { maxLength: 7 });
  const isAdapted = (words: readonly string[]) =>
    words.length === 5 && words[0] === 'v2' && words[1] === 'organizations' && words[3] === 'users';

  it('is neither matched nor loosely matched, whatever its case, encoding, dots and slashes', () => {
    const faithful = SEPARATORS.filter((separator) => !/%2f/i.test(separator));
    const spelling = clean
      .filter((words) => !isAdapted(words))
      .chain((words) =>
        joined(
          words.map((text) => inSomeCase(text).chain((chosen) => spelt(chosen, 2))),
          fc.constantFrom(...faithful),
        ),
      );
    fc.assert(
      fc.property(spelling, (path) => {
        expect([path, match(path), looselyMatches(PATTERN, path)]).toEqual([path, undefined, false]);
      }),
      RUNS,
    );
  });

  it('is not taken for adapted because of an encoded slash in its last id', () => {
    fc.assert(
      fc.property(
        clean.filter((words) => !isAdapted(words) && !words.includes('users')),
        (words) => {
          expect(looselyMatches(PATTERN, `/${words.join('/')}%2Fx`)).toBe(false);
        },
      ),
      RUNS,
    );
  });
});

it('any text at all is read without a throw, and what is matched is loosely matched', () => {
  const unit = fc.constantFrom(...'/\\.%;?#\u0000 2fFcC5eé', '%2', '%2F', 'v2/organizations/', '/users/', '\ud800');
  fc.assert(
    fc.property(fc.oneof(fc.string({ unit, maxLength: 60 }), fc.string({ unit: 'binary', maxLength: 60 })), (text) => {
      const isLoose = looselyMatches(PATTERN, toPathname(text));
      if (match(toPathname(text)) !== undefined) expect(isLoose).toBe(true);
    }),
    { ...RUNS, numRuns: 10_000 },
  );
});
