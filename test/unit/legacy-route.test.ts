/** Paths as the legacy router saw them: legacy.md, section 1.2. Over many more paths: `test/property/legacy-route.test.ts`. */
import { describe, expect, it } from 'vitest';
import { createMatchRoute, hasOneReading, looselyMatches, toPathname, toRoutePath } from '../../src/legacy/route.ts';

const PATTERN = '/v2/organizations/:organization/users/:user';
const match = (path: string) => {
  const found = createMatchRoute(PATTERN)(toRoutePath(path));
  return found && [...found.values()];
};

describe('the path of a request target', () => {
  it.each([
    ['/v2/info', '/v2/info'],
    ['/v2/info?a=/b', '/v2/info'],
    ['/v2/info#a', '/v2/info'],
    ['/v2/info#a?b', '/v2/info'],
    ['/v2/a%3Fb', '/v2/a%3Fb'],
    ['http://example.org/v2/info?a', '/v2/info'],
    ['HTTPS://example.org:443/v2//info', '/v2//info'],
    ['http://example.org', '/'],
    ['http://example.org?a', '/'],
    ['http://example.org#a/b', '/'],
    ['?a', '/'],
    ['', '/'],
    ['*', '*'],
  ])('of %j is %j', (target, path) => {
    expect(toPathname(target)).toBe(path);
  });
});

describe('the legacy router', () => {
  it.each([
    ['the plain path', '/v2/organizations/g/users/u', ['g', 'u']],
    ['an opaque user id', '/v2/organizations/g/users/a.b@c-1_~', ['g', 'a.b@c-1_~']],
    ['doubled slashes', '/v2//organizations/g///users/u', ['g', 'u']],
    ['leading slashes', '//v2/organizations/g/users/u', ['g', 'u']],
    ['dot segments', '/v2/x/../organizations/./g/users/u', ['g', 'u']],
    ['dot segments above the root', '/../../v2/organizations/g/users/u', ['g', 'u']],
    ['encoded letters', '/v%32/organizations/g/users/uaa%2Did', ['g', 'uaa-id']],
    ['encoded dot segments', '/v2/organizations/x/%2e%2E/g/users/u', ['g', 'u']],
    ['encoded UTF-8', '/v2/organizations/g/users/%C3%A9%E2%98%83', ['g', 'é☃']],
    ['a plus, which stays one', '/v2/organizations/g/users/a+b', ['g', 'a+b']],
    ['what is decoded once only', '/v2/organizations/g/users/a%252Fb', ['g', 'a%2Fb']],
    ['what is no escape', '/v2/organizations/g/users/a%zz%', ['g', 'a%zz%']],
    ['what is no UTF-8, beside escapes that are', '/v2/organizations%FF%2F..%2forganizations/g/users/%75', ['g', 'u']],
    ['a segment that hides its dots', '/v2/organizations/g/users/...', ['g', '...']],
  ])('matches %s', (_, path, ids) => {
    expect(match(path)).toEqual(ids);
  });

  it.each([
    ['a trailing slash', '/v2/organizations/g/users/u/'],
    ['a trailing dot segment', '/v2/organizations/g/users/u/.'],
    ['a trailing encoded slash', '/v2/organizations/g/users/u%2F'],
    ['another case', '/V2/organizations/g/users/u'],
    ['%2F in an id', '/v2/organizations/g/users/a%2Fb'],
    ['an empty id', '/v2/organizations/g/users/'],
    ['a missing id', '/v2/organizations/g/users'],
    ['dots for an id', '/v2/organizations/g/users/..'],
    ['another relation', '/v2/organizations/g/managers/u'],
    ['the root', '/'],
    ['a backslash for a slash', '/v2/organizations/g\\users/u'],
  ])('does not match %s', (_, path) => {
    expect(match(path)).toBeUndefined();
  });

  it('takes no empty segment for a parameter', () => {
    expect(createMatchRoute('/a/:b')('/a/')).toBeUndefined();
  });
});

describe('a lenient server might take for the adapted route', () => {
  it.each([
    ['the path itself', '/v2/organizations/g/users/u'],
    ['another case', '/V2/Organizations/g/USERS/u'],
    ['a trailing slash', '/v2/organizations/g/users/u/'],
    ['%2F for a slash', '/v2/organizations%2Fg/users/u'],
    ['%2F in an id', '/v2/organizations/g/users/a%2Fb'],
    ['%2F in an id and encoded letters elsewhere', '/v2/organi%257Aations/g/users/a%2Fb'],
    ['%2F for a slash and in an id', '/v2%2Forganizations/g/users/a%2Fb'],
    ['dots behind %2F in an id', '/v2/organizations/g/users/..%2F..%2Fx'],
    ['a backslash for a slash', '/v2\\organizations/g/users/u'],
    ['a backslash in an id', '/v2/organizations/g/users/a\\b'],
    ['an encoded backslash', '/v2%5Corganizations/g/users/u'],
    ['two layers of encoding', '/v2/organizations/g/us%2565rs/u'],
    ['three layers of encoding', '/v2/organizations/g/us%252565rs/u'],
    ['more layers than are tried', '/v2/organizations/g/us%252525252565rs/u'],
    ['a layer hidden in parts of an escape', '/v2%%32Forganizations/g/users/u'],
    ['path parameters', '/v2;a=1/organizations/g;b/users/u;c'],
    ['path parameters behind dots', '/v2/organizations/g/managers/..;/users/u'],
    ['path parameters that hide an encoded slash', '/v2/organizations/g/users;a%2Fb/u'],
    ['nothing but a path parameter', '/v2/;a/organizations/g/users/u'],
    ['an encoded question mark', '/v2/organizations/g/users/u%3F/x'],
    ['an encoded hash behind a path parameter', '/v2/organizations/g/users;a/u%23/x'],
    ['a NUL', '/v2/organizations/g/users/u%00/x'],
    ['an invalid byte beside an encoded slash', '/v2/organizations/g/x%FF%2F../users/u'],
  ])('%s', (_, path) => {
    expect(looselyMatches(PATTERN, path)).toBe(true);
  });
});

describe('no server takes for the adapted route', () => {
  it.each([
    '/',
    '/v2/info',
    '/v2/spaces/x',
    '/v2/spaces/x/developers/u',
    '/v2/organizations/g',
    '/v2/organizations/g/users',
    '/v2/organizations/g/users/',
    '/v2/organizations/g/managers/u',
    '/v2/organizations/g/users/u/roles',
    '/v2/users/u/organizations/g',
    '/v3/organizations/g/users/u',
    '/x/v2/organizations/g/users/u',
    '/v2/organizations/g/managers/%75sers',
    '/v2/organizations/g/managers/a%2Fb',
    '/v2/organizations/g/managers/a;b',
    '/v2/users/u;a/organizations/g',
    '/v2/spaces/%252541',
  ])('%s', (path) => {
    expect(looselyMatches(PATTERN, path)).toBe(false);
  });
});

describe('servers agree about', () => {
  it.each([
    ['the usual path', '/v2/organizations/g/users/u'],
    ['encoded letters', '/v2/organizations/g%2D1/users/uaa%2did.a@b'],
    ['dots, slashes and case, whose reading the origin shares or refuses', '/V2//organizations/./G/users/u/'],
    ['an invalid byte', '/v2/organizations/g%FF/users/u'],
    ['a lone percent sign', '/v2/organizations/50%/users/u'],
  ])('%s', (_, path) => {
    expect(hasOneReading(path)).toBe(true);
  });

  it.each([
    ['a path parameter', '/v2/organizations/g;a=b/users/u'],
    ['an encoded path parameter', '/v2/organizations/g%3Ba=b/users/u'],
    ['a second layer of encoding', '/v2/organizations/%2567/users/u'],
    ['an encoded slash', '/v2/organizations/g%2Fusers/u'],
    ['a backslash', '/v2/organizations\\g/users/u'],
    ['a query that decoding brings out', '/v2/organizations/g%3F/users/u'],
    ['a NUL', '/v2/organizations/g%00/users/u'],
  ])('no more than one thing, but not %s', (_, path) => {
    expect(hasOneReading(path)).toBe(false);
  });
});
