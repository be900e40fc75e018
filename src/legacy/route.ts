/**
 * The path as the legacy router saw it (legacy.md, section 1.2): decoded once, `//` collapsed, dot segments resolved,
 * letters' case and a trailing slash kept. And the loose reading of a path, which decides what must never reach the
 * origin: two routers that disagree about a path are how a guard is walked around.
 */

/** The path of a URL or a request target (origin-form or absolute-form), still encoded, with neither query nor fragment. */
export function toPathname(target: string): string {
  const end = target.search(/[?#]/);
  const path = end === -1 ? target : target.slice(0, end);
  return path.startsWith('/') ? path : path.replace(/^[A-Za-z][A-Za-z0-9+.-]*:\/\/[^/]*/, '') || '/';
}

/** What routes are matched against. */
export function toRoutePath(pathname: string): string {
  // The usual path holds nothing to resolve.
  if (!/%|\/\/|\/\.|\\/.test(pathname)) return pathname;
  return resolveSegments(decodeOnce(pathname));
}

/** The values at the parameters of a pattern, by name, where a route path matches it segment by segment. */
export type MatchRoute = (routePath: string) => Map<string, string> | undefined;

export function createMatchRoute(pattern: string): MatchRoute {
  const segments = pattern.slice(1).split('/');
  return (routePath) => {
    const parameters = new Map<string, string>();
    let at = 0;
    for (const segment of segments) {
      if (routePath.charAt(at) !== '/') return undefined;
      const start = at + 1;
      const slash = routePath.indexOf('/', start);
      at = slash === -1 ? routePath.length : slash;
      if (segment.startsWith(':')) {
        if (start === at) return undefined;
        parameters.set(segment.slice(1), routePath.slice(start, at));
      } else if (at - start !== segment.length || !routePath.startsWith(segment, start)) {
        return undefined;
      }
    }
    return at === routePath.length ? parameters : undefined;
  };
}

/** Most rounds of decoding in a loose reading. More layers than this are no accident, and are taken for a match. */
const LOOSE_ROUNDS = 4;

/**
 * What servers disagree about: whether it separates segments, belongs to one, or cuts the path off. Backslash, path
 * parameter (`;`, and so `/..;/`), encoded separators, and `?`, `#` or NUL that decoding brings out.
 */
const DOUBTFUL = /[\\;?#\0]|%(?:2f|5c)/i;

/** `//host`: what stands before the path for whoever reads a target as a URL reference (RFC 3986, section 4.2). */
const AUTHORITY = /^\/\/[^/]*/;

/**
 * Whether some lenient server might read `pathname` as a path of `pattern`: in any case, with a trailing slash, through
 * several layers of encoding. A path with anything doubtful in it matches as soon as it names the fixed segments of
 * `pattern` in their order: guessing how a server reads it would be to guess every server.
 */
export function looselyMatches(pattern: string, pathname: string): boolean {
  const lowered = pattern.toLowerCase();
  let isDoubtful = false;
  let path = pathname;
  for (let round = 0; round < LOOSE_ROUNDS; round += 1) {
    isDoubtful ||= DOUBTFUL.test(path);
    const reading = path.toLowerCase();
    const isMet = isDoubtful
      ? namesInOrder(reading, lowered)
      : [reading, reading.replace(AUTHORITY, '')].some((text) => resolvesTo(text, lowered));
    if (isMet) return true;
    const decoded = decodeOnce(path);
    if (decoded === path) return false;
    path = decoded;
  }
  return true;
}

/**
 * Whether servers agree about what `pathname` names, but for case and trailing slash: nothing doubtful in it, and nothing
 * that a second decoding would change.
 */
export function hasOneReading(pathname: string): boolean {
  const read = decodeOnce(pathname);
  return decodeOnce(read) === read && !DOUBTFUL.test(pathname) && !DOUBTFUL.test(read);
}

function resolvesTo(path: string, pattern: string): boolean {
  return createMatchRoute(pattern)(resolveSegments(path).replace(/\/$/, '')) !== undefined;
}

function namesInOrder(path: string, pattern: string): boolean {
  let end = 0;
  for (const segment of pattern.split('/')) {
    if (segment.startsWith(':')) continue;
    const start = path.indexOf(segment, end);
    if (start === -1) return false;
    end = start + segment.length;
  }
  return true;
}

/** Percent-decodes once. What is no valid escape, or no UTF-8, stays as it is; it never hides an ASCII escape beside it. */
function decodeOnce(text: string): string {
  return text.replace(/%[0-7][0-9A-Fa-f]|(?:%[89A-Fa-f][0-9A-Fa-f])+/g, (run) => {
    try {
      return decodeURIComponent(run);
    } catch {
      return run;
    }
  });
}

function resolveSegments(path: string): string {
  const kept: string[] = [];
  const segments = path.split('/');
  for (const segment of segments) {
    if (segment === '..') kept.pop();
    else if (segment !== '' && segment !== '.') kept.push(segment);
  }
  const last = segments.at(-1);
  const endsInSlash = kept.length > 0 && (last === '' || last === '.' || last === '..');
  return `/${kept.join('/')}${endsInSlash ? '/' : ''}`;
}
