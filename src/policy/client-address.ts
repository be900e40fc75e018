/** Which client a request without a verified caller counts against (decisions.md, section 7). Pure. */

/** A client behind IPv6 has a /64 at least; one that may choose its last 64 bits must not choose its quota with them. */
const PREFIX_GROUPS = 4;
/** `[` 45 characters of an address, a zone, `]:65535`. */
const MAX_ENTRY_LENGTH = 72;

const GROUPS = 8;
const OCTET = '(?:25[0-5]|2[0-4]\\d|1\\d\\d|[1-9]?\\d)';
/** No leading zeros: they would be octal to some, decimal to others. */
const IPV4 = new RegExp(`^${OCTET}(?:\\.${OCTET}){3}$`);
/** `::ffff:a.b.c.d`, canonical: how a dual-stack listener names an IPv4 client (RFC 4291, section 2.5.5.2). */
const MAPPED_IPV4 = /^::ffff:([\da-f]+):([\da-f]+)$/;

const UNKNOWN = 'unknown';

/**
 * The client's address in canonical form (IPv6 as RFC 5952 has it), or `unknown`. `peer` is the socket's address (on
 * Workers `CF-Connecting-IP`). Each of the `trustedProxies` has added one entry to `forwardedFor`, so the client stands so
 * many from the right; whatever stands left of it is the client's own claim and never looked at. Where there is no address
 * in that place, the peer counts: too strict for some, open to nobody.
 */
export function toClientIp(peer: string | undefined, forwardedFor: string | undefined, trustedProxies: number): string {
  const entry = trustedProxies > 0 ? forwardedFor?.split(',').at(-trustedProxies) : undefined;
  return toCanonical(entry) ?? toCanonical(peer) ?? UNKNOWN;
}

/** What a limit counts for a client at `ip`: an IPv4 address, or the /64 of an IPv6 one (`2001:db8:0:1::/64`), or `unknown`. */
export function toLimitAddress(ip: string): string {
  return ip.includes(':') ? toPrefix(ip) : ip;
}

function toCanonical(text: string | undefined): string | undefined {
  if (text === undefined || text.length > MAX_ENTRY_LENGTH) return undefined;
  const host = withoutPort(text.trim());
  if (IPV4.test(host)) return host;
  const address = toCanonicalIpv6(host);
  if (address === undefined) return undefined;
  const mapped = MAPPED_IPV4.exec(address);
  return mapped ? toDotted(mapped.slice(1)) : address;
}

/** `1.2.3.4:80`, `[::1]`, `[::1]:80`; an IPv6 address without brackets has no port. */
function withoutPort(text: string): string {
  const match = /^\[(.*)\](?::\d{1,5})?$/.exec(text) ?? /^([\d.]+):\d{1,5}$/.exec(text);
  return match?.[1] ?? text;
}

/** As RFC 5952 has it, an embedded IPv4 address as two groups; without the zone, which is a matter of one host. */
function toCanonicalIpv6(text: string): string | undefined {
  const address = text.replace(/%.*$/, '');
  if (!/^[\da-f:.]+$/i.test(address)) return undefined;
  const url = `http://[${address}]/`;
  return URL.canParse(url) ? new URL(url).hostname.slice(1, -1) : undefined;
}

function toDotted(groups: readonly string[]): string {
  const numbers = groups.map((group) => Number.parseInt(group, 16));
  return numbers.flatMap((number) => [number >> 8, number & 255]).join('.');
}

function toPrefix(address: string): string {
  const written = address.split(':').filter((group) => group !== '').length;
  const groups = address.replace('::', `:${'0:'.repeat(GROUPS - written)}`).split(':');
  const prefix = groups.filter((group) => group !== '').slice(0, PREFIX_GROUPS);
  while (prefix.at(-1) === '0') prefix.pop();
  return `${prefix.join(':')}::/64`;
}
