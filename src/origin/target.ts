/**
 * The request target that is asked of the origin. Only ever a path and a query: the host is the operator's, whatever
 * the client wrote.
 */

/**
 * Path and query of `target`, byte for byte. An absolute-form target (RFC 9112, section 3.2.2) loses scheme and
 * authority, a fragment is cut off: `legacy/route.ts` reads targets alike, so a path cannot mean one thing to the
 * router and another to the origin.
 */
export function toOriginTarget(target: string): string {
  const bare = target.replace(/#.*$/s, '').replace(/^[A-Za-z][A-Za-z0-9+.-]*:\/\/[^/?]*/, '');
  return bare.startsWith('/') ? bare : `/${bare}`;
}
