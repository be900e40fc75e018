import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { toClientIp, toLimitAddress } from '../../src/policy/client-address.ts';

const PEER = '192.0.2.1';

/** What a limit counts for a client. */
const toClientAddress = (...told: Parameters<typeof toClientIp>) => toLimitAddress(toClientIp(...told));

describe('toClientIp', () => {
  it('tells an IPv6 address whole, in canonical form, as the audit has it', () => {
    expect(toClientIp('2001:0DB8::0:1', undefined, 0)).toBe('2001:db8::1');
    expect(toClientIp('::ffff:192.0.2.7', undefined, 0)).toBe('192.0.2.7');
    expect(toClientIp(undefined, 'nonsense', 1)).toBe('unknown');
  });
});

describe('toLimitAddress', () => {
  it.each([
    ['203.0.113.9', '203.0.113.9'],
    ['::ffff:203.0.113.9', '203.0.113.9'],
    ['::FFFF:cb00:7109', '203.0.113.9'],
    ['0:0:0:0:0:ffff:203.0.113.9', '203.0.113.9'],
    ['2001:DB8:1:2:3:4:5:6', '2001:db8:1:2::/64'],
    ['2001:0db8:0001:0002:0003:0004:0005:0006', '2001:db8:1:2::/64'],
    ['2001:db8::1', '2001:db8::/64'],
    ['2001:db8:0:1::', '2001:db8:0:1::/64'],
    ['1::5:6:7:8', '1::/64'],
    ['1:2:3:0:5:6:7:8', '1:2:3::/64'],
    ['0:0:0:1::', '0:0:0:1::/64'],
    ['64:ff9b::192.0.2.33', '64:ff9b::/64'],
    ['::1', '::/64'],
    ['fe80::1%eth0', 'fe80::/64'],
  ])('counts the socket %s as %s', (peer, expected) => {
    expect(toClientAddress(peer, undefined, 0)).toBe(expected);
  });

  it('counts two addresses of one /64 as one client, and of two as two', () => {
    expect(toClientAddress('2001:db8::1', undefined, 0)).toBe(toClientAddress('2001:db8::ffff:0:0:2', undefined, 0));
    expect(toClientAddress('2001:db8::1', undefined, 0)).not.toBe(toClientAddress('2001:db8:0:1::1', undefined, 0));
  });

  it('ignores X-Forwarded-For where no proxy is trusted', () => {
    expect(toClientAddress(PEER, '203.0.113.9', 0)).toBe(PEER);
  });

  it.each([
    [1, '203.0.113.3'],
    [2, '203.0.113.2'],
    [3, '203.0.113.1'],
  ])('with %i trusted proxies takes the address so many from the right', (proxies, expected) => {
    expect(toClientAddress(PEER, '203.0.113.1, 203.0.113.2,203.0.113.3', proxies)).toBe(expected);
  });

  it('does not let a client choose its address by what it puts in front', () => {
    expect(toClientAddress(PEER, '198.51.100.1, 198.51.100.2, , 203.0.113.3', 1)).toBe('203.0.113.3');
  });

  it.each([
    ['203.0.113.9:1234', '203.0.113.9'],
    ['[2001:db8::1]', '2001:db8::/64'],
    ['[2001:db8::1]:443', '2001:db8::/64'],
    ['[::ffff:203.0.113.9]:443', '203.0.113.9'],
    ['\t203.0.113.9 ', '203.0.113.9'],
  ])('strips port, brackets and spaces of %j', (entry, expected) => {
    expect(toClientAddress(PEER, entry, 1)).toBe(expected);
  });

  it.each([
    undefined,
    '',
    'unknown',
    '_hidden',
    '1.2.3',
    '1.2.3.4.5',
    '256.1.1.1',
    '01.2.3.4',
    '1.2.3.4:',
    '1.2.3.4:123456',
    '1e1.2.3.4',
    '0x1.2.3.4',
    '2001:db8',
    '1:2:3:4:5:6:7:8:9',
    '1::2::3',
    '::12345',
    '::g',
    '::1.2.3',
    '[::1',
    '::1]',
    '[::1]/x@',
    '[]',
    ':',
    '203.0.113.9 203.0.113.8',
    '１.2.3.4',
    `${'1'.repeat(100_000)}`,
    `::${'0'.repeat(100)}1`,
  ])('falls back to the socket where the entry is %j', (entry) => {
    expect(toClientAddress(PEER, entry, 1)).toBe(PEER);
  });

  it('falls back to the socket, not to a claim of the client, where the list is too short', () => {
    expect(toClientAddress(PEER, '203.0.113.1, 203.0.113.2', 3)).toBe(PEER);
  });

  it.each([undefined, '', 'pipe', '1.2.3'])('says unknown where the socket is %j', (peer) => {
    expect(toClientAddress(peer, 'nonsense', 1)).toBe('unknown');
  });

  it('gives every spelling of an IPv6 address one name, which names its first 64 bits', () => {
    const group = fc.oneof(fc.constant(0), fc.integer({ min: 0, max: 0xffff }));
    const property = fc.property(fc.array(group, { minLength: 8, maxLength: 8 }), (groups) => {
      fc.pre(!(groups.slice(0, 5).every((value) => value === 0) && groups[5] === 0xffff));
      const full = groups.map((value) => value.toString(16).padStart(4, '0').toUpperCase()).join(':');
      const short = new URL(`http://[${full}]`).hostname.slice(1, -1);
      const counted = toClientAddress(full, undefined, 0);
      expect(toClientAddress(short, undefined, 0)).toBe(counted);
      expect(counted).toBe(toClientAddress(counted.slice(0, -'/64'.length), undefined, 0));
      const network = new URL(
        `http://[${[...groups.slice(0, 4).map((value) => value.toString(16)), 0, 0, 0, 0].join(':')}]`,
      );
      expect(`[${counted.slice(0, -'/64'.length)}]`).toBe(network.hostname);
    });
    fc.assert(property, { seed: 7, numRuns: 500 });
  });

  it('takes anything a client can send without a throw', () => {
    const text = fc.oneof(fc.string({ unit: 'binary' }), fc.stringMatching(/^[\d.:,%[\]a-f ]{0,60}$/));
    const property = fc.property(text, fc.integer({ min: 0, max: 4 }), (header, proxies) => {
      expect(toClientAddress(PEER, header, proxies)).toMatch(/^(\d+\.\d+\.\d+\.\d+|[\da-f:]+::\/64|::\/64)$/);
    });
    fc.assert(property, { seed: 7, numRuns: 2000 });
  });
});
