/**
 * Which header lines go on to the origin, and which come back: pure, and the same on both runtimes (decisions.md,
 * section 9). How a body is framed (Content-Length, Transfer-Encoding) is never copied towards the origin: `undici.ts`
 * and `fetch.ts` frame the body they really send, so that a request cannot be smuggled in another.
 */

/** Header lines as they stood on the wire: name, value, name, value … */
export type HeaderLines = readonly string[];

/** The hop the request came in by, for the lines that tell the origin of it. */
export interface Hop {
  /** The IP address at the other end of the connection; undefined where the runtime does not say. */
  readonly peer: string | undefined;
  readonly scheme: 'http' | 'https';
  /** What X-Vcap-Request-Id tells the origin; undefined where the client's own id is passed on instead. */
  readonly freshId: string | undefined;
  /** TRUSTED_PROXIES is above 0: what the request says of earlier hops was written by the operator's own proxies. */
  readonly isTrusted: boolean;
}

/** Received-by and protocol of our Via element (RFC 9110, section 7.6.3). */
const PSEUDONYM = 'holdover';
const VIA = `1.1 ${PSEUDONYM}`;

/** What the client sent, without what was meant for this hop only, and with what the origin must know of it. */
export function toOriginHeaders(lines: HeaderLines, hop: Hop): string[] {
  const named = namedInConnection(lines);
  const kept: string[] = [];
  const chain: Record<string, string[]> = { 'x-forwarded-for': [], forwarded: [] };
  const present = new Set<string>();
  let host: string | undefined;
  for (const [name, value, lowered] of eachLine(lines)) {
    if (lowered === 'host') host ??= value;
    if (NOT_FORWARDED.has(lowered) || HOP_BY_HOP.has(lowered) || named.has(lowered) || isTwin(lowered)) continue;
    if (isClaim(lowered) && !hop.isTrusted) continue;
    if (lowered === 'x-vcap-request-id' && hop.freshId !== undefined) continue;
    present.add(lowered);
    const links = Object.hasOwn(chain, lowered) ? chain[lowered] : undefined;
    if (links !== undefined) links.push(value);
    else kept.push(name, value);
  }
  const { peer } = hop;
  const forwardedFor = [...(chain['x-forwarded-for'] ?? []), ...(peer === undefined ? [] : [peer])];
  if (forwardedFor.length > 0) kept.push('X-Forwarded-For', forwardedFor.join(', '));
  if (!present.has('x-forwarded-proto')) kept.push('X-Forwarded-Proto', hop.scheme);
  if (!present.has('x-forwarded-host') && host !== undefined) kept.push('X-Forwarded-Host', host);
  if (present.has('forwarded')) kept.push('Forwarded', [...(chain['forwarded'] ?? []), toForwarded(hop)].join(', '));
  if (hop.freshId !== undefined) kept.push('X-Vcap-Request-Id', hop.freshId);
  kept.push('Via', VIA);
  return kept;
}

/** What the origin answered, without what was meant for its connection to us. No Via: clients never saw one. */
export function toClientHeaders(lines: HeaderLines): string[] {
  const named = namedInConnection(lines);
  const kept: string[] = [];
  for (const [name, value, lowered] of eachLine(lines)) {
    if (!HOP_BY_HOP.has(lowered) && !named.has(lowered)) kept.push(name, value);
  }
  return kept;
}

/** Whether Holdover has passed this request on before: then the origin leads back here, and would for ever. */
export function hasPassedHere(lines: HeaderLines): boolean {
  for (const [, value, lowered] of eachLine(lines)) {
    if (lowered !== 'via') continue;
    const received = value.split(',').map((element) => element.trim().toLowerCase().split(/\s+/)[1]);
    if (received.includes(PSEUDONYM)) return true;
  }
  return false;
}

/** RFC 9110, section 7.6.1, with the older fields of its kind; trailers are dropped, so nothing announces any. */
const HOP_BY_HOP: ReadonlySet<string> = new Set([
  'connection',
  'http2-settings',
  'keep-alive',
  'proxy-authenticate',
  'proxy-authorization',
  'proxy-connection',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
]);

/** Made anew for the origin. `Expect` has been answered by our own listener by now. */
const NOT_FORWARDED: ReadonlySet<string> = new Set(['content-length', 'expect', 'host']);

/** What only a proxy may say about a client: from anybody else it is a lie, or as good as one. */
const CLAIMS: ReadonlySet<string> = new Set([
  'cf-connecting-ip',
  'cf-connecting-ipv6',
  'forwarded',
  'true-client-ip',
  'x-client-ip',
  'x-cluster-client-ip',
  'x-real-ip',
]);

function isClaim(lowered: string): boolean {
  return CLAIMS.has(lowered) || lowered.startsWith('x-forwarded');
}

/**
 * `X_Forwarded_For` and its like. Rack, CGI and WSGI fold `_` and `-` into one variable, so a twin of a line that is
 * set or dropped here would reach the old server as that line. No proxy sends one: trust makes no difference.
 */
function isTwin(lowered: string): boolean {
  if (!lowered.includes('_')) return false;
  const dashed = lowered.replaceAll('_', '-');
  const isRuled = HOP_BY_HOP.has(dashed) || NOT_FORWARDED.has(dashed) || dashed === 'x-vcap-request-id';
  return isRuled || isClaim(dashed);
}

/**
 * Fields for whoever gets the message in the end. A client that names one of them in Connection wants a proxy to drop
 * what others rely on ("hop-by-hop abuse": `Connection: authorization`); RFC 9110, section 7.6.1 forbids to name them.
 */
const END_TO_END: ReadonlySet<string> = new Set([
  'authorization',
  'cache-control',
  'cookie',
  'date',
  'etag',
  'location',
  'set-cookie',
  'vary',
  'via',
  'www-authenticate',
  'x-request-id',
  'x-vcap-request-id',
]);

function namedInConnection(lines: HeaderLines): ReadonlySet<string> {
  const named = new Set<string>();
  for (const [, value, lowered] of eachLine(lines)) {
    if (lowered !== 'connection') continue;
    for (const option of value.toLowerCase().split(',')) {
      const name = option.trim();
      if (!END_TO_END.has(name) && !name.startsWith('content-') && !isClaim(name)) named.add(name);
    }
  }
  return named;
}

/** RFC 7239: an IPv6 address stands in brackets and quotes; a hop that cannot say is `unknown`. */
function toForwarded({ peer, scheme }: Hop): string {
  const node = peer === undefined ? 'unknown' : peer.includes(':') ? `"[${peer}]"` : peer;
  return `for=${node};proto=${scheme}`;
}

function* eachLine(lines: HeaderLines): Generator<readonly [name: string, value: string, lowered: string]> {
  for (let index = 0; index + 1 < lines.length; index += 2) {
    const name = lines[index] as string;
    yield [name, lines[index + 1] as string, name.toLowerCase()];
  }
}
