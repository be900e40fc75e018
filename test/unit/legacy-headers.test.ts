/** The headers of every legacy answer: legacy.md, section 5, and decisions.md, section 3. */
import { describe, expect, it } from 'vitest';
import { toLegacyHeaders, toRequestId } from '../../src/legacy/headers.ts';

const UUID = '1116c63a-e216-4e4d-8dec-e8967d42907f';

describe('X-VCAP-Request-ID', () => {
  it.each([
    ['nothing came in', undefined],
    ['no header came in', null],
    ['an empty one came in', ''],
    ['nothing is left of it', ' :;é/"\r\n'],
  ])('is the fresh UUID alone where %s', (_, inbound) => {
    expect(toRequestId(inbound, UUID)).toBe(UUID);
  });

  it('is the inbound id, two colons and the fresh UUID', () => {
    expect(toRequestId('cli_Run-7', UUID)).toBe(`cli_Run-7::${UUID}`);
  });

  it('keeps letters, digits, underscores and hyphens, and nothing that could begin another header', () => {
    expect(toRequestId('a b\r\nSet-Cookie: c=1', UUID)).toBe(`abSet-Cookiec1::${UUID}`);
    expect(toRequestId(`${UUID}::${UUID}`, UUID)).toBe(`${UUID}${UUID}::${UUID}`);
  });

  it('keeps the first 255 characters of what is left', () => {
    expect(toRequestId(`:${'x'.repeat(254)}yz`, UUID)).toBe(`${'x'.repeat(254)}y::${UUID}`);
  });
});

describe('the other headers', () => {
  it('name the type without a space, and the length', () => {
    expect(Object.entries(toLegacyHeaders('id', 3))).toEqual([
      ['Content-Type', 'application/json;charset=utf-8'],
      ['X-VCAP-Request-ID', 'id'],
      ['Content-Length', '3'],
      ['X-Content-Type-Options', 'nosniff'],
    ]);
  });

  it('are two where there is no body', () => {
    expect(Object.entries(toLegacyHeaders('id', null))).toEqual([
      ['X-VCAP-Request-ID', 'id'],
      ['X-Content-Type-Options', 'nosniff'],
    ]);
  });
});
