/** Attacks with header lines. Which lines go on to the origin: `test/unit/origin-headers.test.ts`; what an address counts as: `test/unit/client-address.test.ts`. */
import { expect } from 'vitest';
import { describeAttacks } from './describe-attacks.ts';
import { ADMIN, ALICE, ALICES, type Siege, toTarget, USERS } from './siege.ts';

const UUID = '[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}';

/** Where the attacker says that he is. */
const LIE = '6.6.6.6';

const CLAIMS = {
  'X-Forwarded-For': LIE,
  'X-Forwarded-Host': LIE,
  'X-Forwarded-Proto': LIE,
  'X-Forwarded-Client-Cert': LIE,
  Forwarded: `for=${LIE};host=${LIE}`,
  'X-Real-IP': LIE,
  'True-Client-IP': LIE,
  'X-Client-IP': LIE,
  'X-Cluster-Client-IP': LIE,
};

const TWINS = Object.fromEntries(Object.entries(CLAIMS).map(([name, value]) => [name.replaceAll('-', '_'), value]));

const toOriginEnv = (siege: Siege) => ({ LEGACY_ORIGIN_URL: siege.origin.url });

/** The quota of an address in the attacks on it: small enough to be spent, and no second to be had. */
const QUOTA = 3;

const REMOVAL = `DELETE ${toTarget(ALICES, 'bob')} HTTP/1.1\r\nHost: h\r\nConnection: close\r\n`;

/** In the legacy shape, for what never became a call. */
const NOT_HTTP =
  /^HTTP\/1\.1 400 Bad Request\r\nContent-Type: application\/json;charset=utf-8\r\n[\s\S]*\r\n\r\n\{\n {2}"code": 10004,\n {2}"description": "The request is invalid",\n {2}"error_code": "CF-InvalidRequest"\n\}\n$/;

describeAttacks('header', {
  'header injection through request ids': async (siege) => {
    const ids = [
      'a\tX-Injected: 1',
      '%0d%0aX-Injected:%201',
      '<script>',
      'a::b',
      'a b;c="d"',
      'é\x80ÿ',
      '../..',
      '{{7*7}}',
      '$(id)',
      '::',
      ' ',
    ];
    for (const id of [...ids, 'x'.repeat(4096)]) {
      for (const name of ['X-VCAP-Request-ID', 'X-Request-Id']) {
        const answer = await siege.removes({ token: ADMIN, headers: { [name]: id } }, 'alices', USERS.bob);
        const answered = answer.headers.get('x-vcap-request-id') ?? '';
        expect(answered, id).toMatch(new RegExp(`^(?:[A-Za-z0-9_-]{1,255}::)?${UUID}$`));
        expect([...answer.headers.keys()]).not.toContain('x-injected');
        const [call] = siege.backend.callsTo('remove').slice(-1);
        expect(call?.headers['x-request-id']).toBe(answered.slice(-36));
      }
    }
  },

  'header injection through traceparent': async (siege) => {
    const good = `00-${'a'.repeat(32)}-${'b'.repeat(16)}-01`;
    const bad = [
      'x',
      `${good}\tX-Injected: 1`,
      `${good},${good}`,
      good.replaceAll('a', '0'),
      'f'.repeat(8000),
      `${good}-x`,
    ];
    for (const traceparent of bad) {
      const headers = { traceparent, tracestate: 'x=1', baggage: 'user=root', 'X-B3-TraceId': 'x' };
      await siege.removes({ token: ADMIN, headers }, 'alices', USERS.bob);
      const [call] = siege.backend.callsTo('remove').slice(-1);
      expect(call?.headers['traceparent'], traceparent).toMatch(/^00-[0-9a-f]{32}-[0-9a-f]{16}-00$/);
      const known =
        /^(?:authorization|accept.*|cache-control|pragma|x-request-id|traceparent|host|connection|content-length|user-agent|cf-worker|mf-.*)$/;
      expect(Object.keys(call?.headers ?? {}).filter((name) => !known.test(name))).toEqual([]);
    }
  },

  'spoofed X-Forwarded-*, Forwarded and CF-Connecting-IP, to the limiter': async (siege) => {
    const env = { RATE_LIMIT_UNAUTHENTICATED: `${QUOTA}/1h` };
    const spoofed = Object.entries({ ...CLAIMS, ...TWINS, 'CF-Connecting-IP': LIE, 'CF-Connecting-IPv6': '::1' });
    for (const [index, [name, value]] of spoofed.entries()) {
      const headers = { [name]: value.replaceAll(LIE, `6.6.6.${index}`) };
      const [status, code] = index < QUOTA ? [401, 10002] : [429, 10014];
      await siege.refuses({ token: null, headers }, status as number, code as number, env);
    }
    await siege.removes({ token: ADMIN, headers: { ...CLAIMS, ...TWINS } }, 'alices', USERS.bob, env);
    const holdover = await siege.holdover(env);
    const intent = await holdover.waitForLine((line) => line['audit'] === 'intent');
    expect(intent['ip']).toBe('127.0.0.1');
  },

  'spoofed X-Forwarded-For behind a trusted proxy, to the limiter': async (siege) => {
    const env = { RATE_LIMIT_UNAUTHENTICATED: `${QUOTA}/1h`, TRUSTED_PROXIES: '1' };
    const claims = [
      '6.6.6.6',
      '6.6.6.7, 6.6.6.8',
      '',
      ',,,',
      'unknown',
      '"6.6.6.9"',
      '[::6]',
      '9.9.9.9',
      'x'.repeat(3000),
      ', '.repeat(500),
    ];
    for (const [index, claim] of claims.entries()) {
      const [status, code] = index < QUOTA ? [401, 10002] : [429, 10014];
      const headers = { 'X-Forwarded-For': `${claim}, 9.9.9.9` };
      await siege.refuses({ token: null, headers }, status as number, code as number, env);
    }
  },

  "a proxy's X-Forwarded-For hidden behind thousands of lines": async (siege) => {
    const env = { RATE_LIMIT_UNAUTHENTICATED: `${QUOTA}/1h`, TRUSTED_PROXIES: '1' };
    const junk = 'a:\r\n'.repeat(4000);
    const statuses: string[] = [];
    for (let tries = 0; tries <= QUOTA; tries += 1) {
      const lines = `X-Forwarded-For: 7.7.7.${tries}\r\n${junk}X-Forwarded-For: 9.9.9.10\r\n\r\n`;
      const text = await siege.sendBytes(`${REMOVAL}${lines}`, env);
      statuses.push(text.slice('HTTP/1.1 '.length).slice(0, 3));
    }
    expect(statuses).toEqual(['401', '401', '401', '429']);
  },

  'spoofed X-Forwarded-*, Forwarded, CF-Connecting-IP and underscore twins, to the origin': async (siege) => {
    // On Workers the edge itself sets this one, whatever the client sent.
    const edge: Record<string, string> =
      siege.runtime === 'node'
        ? { 'CF-Connecting-IP': LIE, CF_Connecting_IP: LIE }
        : { 'CF-Connecting-IP': '127.0.0.1' };
    const named = { Connection: 'close, x-forwarded-for, x-forwarded-proto, via, host' };
    const headers = {
      ...CLAIMS,
      ...TWINS,
      ...edge,
      ...named,
      Transfer_Encoding: 'chunked',
      Content_Length: '4',
      Via_: LIE,
    };
    siege.forget();
    const { status } = await siege.send({ method: 'GET', target: '/v2/spaces', headers }, toOriginEnv(siege));
    expect(status).toBe(200);
    const [request] = siege.origin.requests;
    const lines = request?.lines ?? [];
    const lied = lines.filter(([name, value]) => name !== 'via_' && value.includes(LIE));
    expect(lied).toEqual([]);
    expect(lines.filter(([name]) => /^(?:transfer|content)[-_]/.test(name))).toEqual([]);
    expect(lines.filter(([name]) => name === 'x-forwarded-for')).toEqual([['x-forwarded-for', '127.0.0.1']]);
    expect(lines.filter(([name]) => name === 'via')).toEqual([['via', '1.1 holdover']]);
  },

  'Connection: authorization': async (siege) => {
    const headers = { Connection: 'close, authorization, cookie, x-vcap-request-id, content-type', Cookie: 'a=b' };
    await siege.removes({ token: ALICE, headers }, 'alices', USERS.bob, toOriginEnv(siege));
    siege.forget();
    await siege.send({ method: 'GET', target: '/v2/spaces', token: ALICE, headers }, toOriginEnv(siege));
    const lines = new Map(siege.origin.requests[0]?.lines);
    expect(lines.get('authorization')).toBe(`bearer ${ALICE}`);
    expect(lines.get('cookie')).toBe('a=b');
  },

  'a Host that makes no URL': async (siege) => {
    const hosts = [
      '1.2.3.4.5',
      'xn--a',
      '999999999999',
      '0x1ffffffff',
      'h:99999',
      'h:x',
      '[::1',
      'a b',
      'u:p@h',
      '',
      'h#',
      'h?x',
      'h/x',
      '%00',
      '..',
      '\xff',
    ];
    for (const host of hosts) {
      for (const [query, rest] of [
        ['', '\r\n'],
        ['?x=1', '\r\n'],
        ['', 'Content-Length: 2\r\n\r\n{}'],
      ]) {
        const line = `DELETE ${toTarget(ALICES, 'bob')}${query} HTTP/1.1`;
        const text = await siege.sendBytes(`${line}\r\nHost: ${host}\r\nConnection: close\r\n${rest}`);
        expect(text, host).toMatch(/^HTTP\/1\.1 40[01] [\s\S]*\r\nX-VCAP-Request-ID: [\s\S]*"error_code"/);
      }
    }
  },

  'requests that Node would answer by itself': async (siege) => {
    const bytes = [
      'CONNECT evil.test:443 HTTP/1.1\r\nHost: evil.test:443\r\n\r\n',
      `DELETE ${toTarget(ALICES, 'bob')} HTTP/1.1\r\nConnection: close\r\n\r\n`,
      `${REMOVAL}X: ${'x'.repeat(40_000)}\r\n\r\n`,
      `DELETE /${'x'.repeat(40_000)} HTTP/1.1\r\nHost: h\r\n\r\n`,
      'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n',
      '\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03',
      'delete / HTTP/1.1\r\nHost: h\r\n\r\n',
      'OPTIONS * HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n',
      'GET / HTTP/1.1 \r\nHost: h\r\n\r\n',
      'GET / HTTP/9.9\r\nHost: h\r\n\r\n',
    ];
    for (const sent of bytes) expect(await siege.sendBytes(sent), sent.slice(0, 60)).toMatch(NOT_HTTP);
    for (const expectation of ['200-ok', 'x=y', '"']) {
      expect(await siege.sendBytes(`${REMOVAL}Expect: ${expectation}\r\n\r\n`)).toMatch(/^HTTP\/1\.1 401 [\s\S]*10002/);
    }
  },

  'h2c smuggling': async (siege) => {
    const upgrades = [
      { Connection: 'Upgrade, HTTP2-Settings', Upgrade: 'h2c', 'HTTP2-Settings': 'AAMAAABkAARAAAAAAAIAAAAA' },
      { Connection: 'Upgrade', Upgrade: 'websocket', 'Sec-WebSocket-Key': 'x' },
    ];
    for (const headers of upgrades) {
      siege.forget();
      const { status } = await siege.send({ method: 'GET', target: '/v2/spaces', headers }, toOriginEnv(siege));
      expect(status).toBe(200);
      const names = siege.origin.requests.flatMap(({ lines }) => lines.map(([name]) => name));
      expect(names.length).toBeGreaterThan(0);
      expect(names.filter((name) => /^(?:upgrade|http2-settings)$/.test(name))).toEqual([]);
    }
    await siege.refuses({ headers: upgrades[0] ?? {}, token: null }, 401, 10002, toOriginEnv(siege));
  },

  'a trailer that would be a header': async (siege) => {
    const chunks = `Transfer-Encoding: chunked\r\nTrailer: Authorization\r\n\r\n1\r\nx\r\n0\r\nAuthorization: bearer ${ADMIN}\r\nX-Forwarded-For: ${LIE}\r\n\r\n`;
    siege.forget();
    expect(await siege.sendBytes(`${REMOVAL}${chunks}`)).toMatch(/^HTTP\/1\.1 401 [\s\S]*10002/);
    siege.expectNothingHappened();
    const head = 'PUT /v2/spaces HTTP/1.1\r\nHost: h\r\nConnection: close\r\n';
    expect(await siege.sendBytes(`${head}${chunks}`, toOriginEnv(siege))).toMatch(/^HTTP\/1\.1 200 /);
    const [request] = siege.origin.requests;
    expect(request?.body).toBe('x');
    expect(request?.lines.filter(([name]) => /^(?:authorization|trailer)$/.test(name))).toEqual([]);
  },
});
