/** Which header lines go to the origin and come back. Over the wire: `origin-node.test.ts`. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { toPathname } from '../../src/legacy/route.ts';
import { type Hop, hasPassedHere, toClientHeaders, toOriginHeaders } from '../../src/origin/headers.ts';
import { toOriginTarget } from '../../src/origin/target.ts';

const HOP: Hop = { peer: '192.0.2.7', scheme: 'http', freshId: undefined, isTrusted: false };
const TRUSTED: Hop = { ...HOP, isTrusted: true };

/** What Holdover adds to every request of HOP that has no Host. */
const ADDED = ['X-Forwarded-For', '192.0.2.7', 'X-Forwarded-Proto', 'http', 'Via', '1.1 holdover'];

const valuesOf = (lines: readonly string[], name: string) =>
  lines.filter((_, index) => index % 2 === 1 && lines[index - 1]?.toLowerCase() === name);

describe('towards the origin', () => {
  it('keeps order, case and duplicates of end-to-end lines', () => {
    const lines = ['b-Second', '2', 'AUTHORIZATION', 'bearer x', 'accept', 'a', 'Accept', 'b', 'Cookie', 'c=1'];
    expect(toOriginHeaders(lines, HOP)).toEqual([...lines, ...ADDED]);
  });

  it.each([
    ['Connection', 'keep-alive'],
    ['Keep-Alive', 'timeout=5'],
    ['Proxy-Connection', 'keep-alive'],
    ['Proxy-Authorization', 'Basic eDp5'],
    ['TE', 'trailers'],
    ['Trailer', 'Expires'],
    ['Transfer-Encoding', 'chunked'],
    ['Upgrade', 'websocket'],
    ['HTTP2-Settings', 'AAMAAABkAAQAAP__'],
    ['Expect', '100-continue'],
    ['Content-Length', '5'],
  ])('drops %s, which concerns this hop only', (name, value) => {
    for (const spelled of [name, name.toLowerCase(), name.toUpperCase()]) {
      expect(toOriginHeaders([spelled, value], HOP)).toEqual(ADDED);
    }
  });

  it('drops the lines that Connection names', () => {
    const lines = [
      'Connection',
      'close, X-Private',
      'x-private',
      '1',
      'connection',
      'x-Other',
      'X-Other',
      '2',
      'X-Kept',
      '3',
    ];
    expect(toOriginHeaders(lines, HOP)).toEqual(['X-Kept', '3', ...ADDED]);
  });

  it.each([
    ['Authorization', 'bearer x'],
    ['Cookie', 'session=1'],
    ['Content-Type', 'application/json'],
    ['Content-Encoding', 'gzip'],
    ['Cache-Control', 'no-store'],
    ['X-Request-ID', 'a'],
  ])('keeps %s although the client names it in Connection', (name, value) => {
    expect(toOriginHeaders(['Connection', `close, ${name}`, name, value], HOP)).toEqual([name, value, ...ADDED]);
  });

  it('sets its own lines although the client names them in Connection', () => {
    const lines = ['Connection', 'x-forwarded-for, via, x-forwarded-proto, x-vcap-request-id', 'Via', '1.0 edge'];
    expect(toOriginHeaders(lines, HOP)).toEqual(['Via', '1.0 edge', ...ADDED]);
  });

  it.each([
    'X-Forwarded-For',
    'X-Forwarded-Host',
    'X-Forwarded-Proto',
    'X-Forwarded-Port',
    'X-Forwarded-Prefix',
    'X-Forwarded-Anything',
    'x-forwarded',
    'Forwarded',
    'X-Real-IP',
    'X-Client-IP',
    'X-Cluster-Client-IP',
    'True-Client-IP',
    'CF-Connecting-IP',
  ])('drops %s from a client that nobody vouches for', (name) => {
    expect(toOriginHeaders([name, '198.51.100.1'], HOP)).toEqual(ADDED);
  });

  it.each([
    'X_Forwarded_For',
    'x_forwarded-host',
    'X-Forwarded_Proto',
    'X_Real_IP',
    'CF_Connecting_IP',
    'Transfer_Encoding',
    'Content_Length',
    'Proxy_Authorization',
    'X_Vcap_Request_Id',
  ])('drops the twin %s, whoever sent it', (name) => {
    expect(toOriginHeaders([name, 'x'], HOP)).toEqual(ADDED);
    expect(toOriginHeaders([name, 'x'], TRUSTED)).toEqual(ADDED);
  });

  it('keeps other names with underscores', () => {
    expect(toOriginHeaders(['x_app_flag', 'on'], HOP)).toEqual(['x_app_flag', 'on', ...ADDED]);
  });

  it('tells the origin the host the client asked for', () => {
    const lines = toOriginHeaders(['Host', 'api.example.com', 'Host', 'other'], HOP);
    expect(valuesOf(lines, 'host')).toEqual([]);
    expect(valuesOf(lines, 'x-forwarded-host')).toEqual(['api.example.com']);
  });

  it("appends the peer to what the operator's proxies wrote", () => {
    const lines = ['X-Forwarded-For', '203.0.113.9', 'x-forwarded-for', '198.51.100.2', 'Forwarded', 'for=203.0.113.9'];
    const sent = toOriginHeaders([...lines, 'X-Forwarded-Port', '443'], { ...TRUSTED, peer: '2001:db8::1' });
    expect(valuesOf(sent, 'x-forwarded-for')).toEqual(['203.0.113.9, 198.51.100.2, 2001:db8::1']);
    expect(valuesOf(sent, 'forwarded')).toEqual(['for=203.0.113.9, for="[2001:db8::1]";proto=http']);
    expect(valuesOf(sent, 'x-forwarded-port')).toEqual(['443']);
  });

  it("keeps the scheme and host the operator's proxies saw", () => {
    const lines = ['Host', 'inner', 'X-Forwarded-Proto', 'https', 'X-Forwarded-Host', 'api.example.com'];
    const sent = toOriginHeaders(lines, TRUSTED);
    expect(valuesOf(sent, 'x-forwarded-proto')).toEqual(['https']);
    expect(valuesOf(sent, 'x-forwarded-host')).toEqual(['api.example.com']);
  });

  it('says nothing of a peer that the runtime does not name', () => {
    expect(valuesOf(toOriginHeaders([], { ...HOP, peer: undefined }), 'x-forwarded-for')).toEqual([]);
  });

  it('names the request where the client did not', () => {
    const lines = toOriginHeaders(['X-Vcap-Request-Id', '!!'], { ...HOP, freshId: 'fresh' });
    expect(valuesOf(lines, 'x-vcap-request-id')).toEqual(['fresh']);
  });

  it("leaves the client's own request id as it is", () => {
    const lines = ['x-vcap-request-id', 'a::b', 'X-Request-ID', 'c'];
    expect(toOriginHeaders(lines, HOP)).toEqual([...lines, ...ADDED]);
  });

  it('sends no framing, no claim of a stranger and exactly one hop of its own, whatever comes in', () => {
    const name = fc.oneof(
      fc.constantFrom(
        'Connection',
        'connection',
        'X-Forwarded-For',
        'X_Forwarded_For',
        'Via',
        'TE',
        'Host',
        'Forwarded',
      ),
      fc.constantFrom(
        'Content-Length',
        'content_length',
        'Transfer-Encoding',
        'Authorization',
        '__proto__',
        'constructor',
      ),
      fc.stringMatching(/^[A-Za-z_-]{1,12}$/),
    );
    const value = fc.oneof(
      fc.constantFrom('close, authorization', 'x-forwarded-for', 'via', '1.1 edge', 'chunked', ', ,', 'toString'),
      fc.stringMatching(/^[\x21-\x7e]{0,12}$/),
    );
    const property = fc.property(fc.array(fc.tuple(name, value)), (pairs) => {
      const lines = pairs.flat();
      const sent = toOriginHeaders(lines, HOP);
      const folded = sent.filter((_, index) => index % 2 === 0).map((text) => text.toLowerCase().replaceAll('_', '-'));
      for (const never of ['content-length', 'transfer-encoding', 'connection', 'te', 'host', 'forwarded']) {
        expect(folded).not.toContain(never);
      }
      expect(folded.filter((text) => text === 'x-forwarded-for')).toHaveLength(1);
      expect(valuesOf(sent, 'x-forwarded-for')).toEqual(['192.0.2.7']);
      expect(valuesOf(sent, 'authorization')).toEqual(valuesOf(lines, 'authorization'));
      expect(valuesOf(sent, 'via')).toEqual([...valuesOf(lines, 'via'), '1.1 holdover']);
      expect(hasPassedHere(sent)).toBe(true);
    });
    fc.assert(property, { seed: 9, numRuns: 500 });
  });
});

describe('back to the client', () => {
  it('keeps order, case and duplicates, and what frames the body', () => {
    const lines = [
      'Server',
      'nginx',
      'Set-Cookie',
      'a=1',
      'content-LENGTH',
      '5',
      'set-cookie',
      'b=2',
      'Server',
      'thin',
    ];
    expect(toClientHeaders(lines)).toEqual(lines);
  });

  it("drops what concerns the origin's connection only, and the lines its Connection names", () => {
    const lines = [
      'Connection',
      'close, X-Hop',
      'X-Hop',
      '1',
      'Keep-Alive',
      'timeout=5',
      'Transfer-Encoding',
      'chunked',
    ];
    const more = ['Trailer', 'X', 'Upgrade', 'h2c', 'Proxy-Authenticate', 'Basic', 'Content-Type', 'text/plain'];
    expect(toClientHeaders([...lines, ...more])).toEqual(['Content-Type', 'text/plain']);
  });

  it("keeps the answer's own lines although the origin names them in Connection", () => {
    const lines = ['Set-Cookie', 'a=1', 'Location', '/x', 'WWW-Authenticate', 'Basic', 'Content-Length', '0'];
    expect(toClientHeaders(['Connection', 'set-cookie, location, www-authenticate, content-length', ...lines])).toEqual(
      lines,
    );
  });
});

describe('a loop', () => {
  it.each(['1.1 holdover', 'HTTP/1.1 Holdover', '1.0 edge, 1.1 holdover (x)', '1.1 edge ,1.1   HOLDOVER'])(
    'is seen in Via: %s',
    (value) => {
      expect(hasPassedHere(['Accept', 'x', 'vIA', value])).toBe(true);
    },
  );

  it.each(['1.1 edge', '1.1 holdover.example.com', '1.1 notholdover', 'holdover', '1.1 edge (holdover)', ''])(
    'is not seen in Via: %s',
    (value) => {
      expect(hasPassedHere(['Via', value])).toBe(false);
    },
  );

  it('is seen only in Via', () => {
    expect(hasPassedHere(['X-Via', '1.1 holdover', 'Referer', '1.1 holdover'])).toBe(false);
  });
});

describe('the target', () => {
  it.each([
    ['/v2/info', '/v2/info'],
    ['/a/../b/./%2e%2E/c%2Fd%zz', '/a/../b/./%2e%2E/c%2Fd%zz'],
    ['//evil.example.com/x//y', '//evil.example.com/x//y'],
    ['/x?q=name:a%20b+c&&r=http://h/?s', '/x?q=name:a%20b+c&&r=http://h/?s'],
    ['/?', '/?'],
    ['http://evil.example.com/v2/info?a=b', '/v2/info?a=b'],
    ['HTTPS://evil.example.com:1', '/'],
    ['http://evil.example.com?a=/b', '/?a=/b'],
    ['http:///x', '/x'],
    ['/users/u#/x', '/users/u'],
    ['/x?y#z?w#v', '/x?y'],
    ['http://evil.example.com#/x', '/'],
  ])('of %s is %s', (target, expected) => {
    expect(toOriginTarget(target)).toBe(expected);
  });

  it('has the very path that was routed', () => {
    const property = fc.property(fc.stringMatching(/^(\/|https?:\/\/)[!-~]{0,40}$/), (target) => {
      expect(toOriginTarget(target).replace(/\?.*$/s, '')).toBe(toPathname(target));
    });
    fc.assert(property, { seed: 9, numRuns: 1000 });
  });

  it('never names a host', () => {
    const property = fc.property(fc.stringMatching(/^(\/|https?:\/\/|[a-z]+:\/\/)?[!-~]{0,40}$/), (target) => {
      const url = new URL(`http://origin.test${toOriginTarget(target)}`);
      expect(url.host).toBe('origin.test');
      expect(url.hash).toBe('');
    });
    fc.assert(property, { seed: 9, numRuns: 1000 });
  });
});
