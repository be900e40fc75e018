/** Every error's exact bytes, written by hand from legacy.md, section 4, and decisions.md, section 3; never from our own output. */
import { describe, expect, it } from 'vitest';
import type { Failure } from '../../src/failure.ts';
import { toLegacyError } from '../../src/legacy/errors.ts';
import { toLegacyJson } from '../../src/legacy/json.ts';
import { profileOf } from '../../src/legacy/profiles.ts';

const PAGE_ERA = profileOf('2014-12').shape;
const LAST_ERA = profileOf('2017-03').shape;

interface Row {
  readonly failure: Failure;
  readonly status: number;
  readonly code: number;
  readonly name: string;
  readonly description: string;
  readonly headers?: Record<string, string>;
}

const GUID = '211f7701-2715-479b-afbc-811f767fb131';
const RATE_LIMIT_EXCEEDED = { code: 10013, name: 'CF-RateLimitExceeded', description: 'Rate Limit Exceeded' };
const NOT_AUTHORIZED = {
  status: 403,
  code: 10003,
  name: 'CF-NotAuthorized',
  description: 'You are not authorized to perform the requested action',
};
const UNAVAILABLE = {
  status: 503,
  code: 10015,
  name: 'CF-ServiceUnavailable',
  description: 'The organization service is temporarily unavailable.',
};
const INVALID_REQUEST = { code: 10004, name: 'CF-InvalidRequest', description: 'The request is invalid' };

/** One row for each kind of failure at least; unmatched routes and unknown errors have tests of their own below. */
const ROWS: readonly Row[] = [
  { failure: { kind: 'request-invalid', reason: 'x' }, status: 400, ...INVALID_REQUEST },
  { failure: { kind: 'body-too-large', limitBytes: 65536 }, status: 413, ...INVALID_REQUEST },
  {
    failure: { kind: 'token-missing' },
    status: 401,
    code: 10002,
    name: 'CF-NotAuthenticated',
    description: 'Authentication error',
  },
  {
    failure: { kind: 'token-invalid', reason: 'x' },
    status: 401,
    code: 1000,
    name: 'CF-InvalidAuthToken',
    description: 'Invalid Auth Token',
  },
  {
    failure: { kind: 'rate-limited', subject: 'caller', retryAfterSeconds: 7 },
    status: 429,
    ...RATE_LIMIT_EXCEEDED,
    headers: { 'Retry-After': '7' },
  },
  {
    failure: { kind: 'rate-limited', subject: 'organization', retryAfterSeconds: 60 },
    status: 429,
    ...RATE_LIMIT_EXCEEDED,
    headers: { 'Retry-After': '60' },
  },
  {
    failure: { kind: 'rate-limited', subject: 'address', retryAfterSeconds: 1 },
    status: 429,
    code: 10014,
    name: 'CF-IPBasedRateLimitExceeded',
    description:
      'Rate Limit Exceeded: Unauthenticated requests from this IP address have exceeded the limit. Please log in.',
    headers: { 'Retry-After': '1' },
  },
  {
    failure: { kind: 'backend-rate-limited', retryAfterSeconds: 30 },
    status: 429,
    ...RATE_LIMIT_EXCEEDED,
    headers: { 'Retry-After': '30' },
  },
  {
    failure: { kind: 'query-invalid', parameter: 'inline-relations-depth' },
    status: 400,
    code: 10005,
    name: 'CF-BadQueryParameter',
    description: 'The query parameter is invalid: inline_relations_depth must be <= 0',
  },
  {
    failure: { kind: 'organization-unknown', organization: GUID },
    status: 404,
    code: 30003,
    name: 'CF-OrganizationNotFound',
    description: `The organization could not be found: ${GUID}`,
  },
  {
    failure: { kind: 'scope-missing', scope: 'cloud_controller.write' },
    status: 403,
    code: 10007,
    name: 'CF-InsufficientScope',
    description: 'Your token lacks the necessary scopes to access this resource.',
  },
  { failure: { kind: 'access-denied', reason: 'not-a-manager' }, ...NOT_AUTHORIZED },
  { failure: { kind: 'access-denied', reason: 'organization-not-active' }, ...NOT_AUTHORIZED },
  { failure: { kind: 'backend-forbidden' }, ...NOT_AUTHORIZED },
  {
    failure: { kind: 'last-manager' },
    status: 403,
    code: 30004,
    name: 'CF-LastManagerInOrg',
    description: 'Cannot remove last Org Manager in org',
  },
  { failure: { kind: 'unavailable', dependency: 'backend', reason: 'x' }, ...UNAVAILABLE },
  { failure: { kind: 'unavailable', dependency: 'redis', reason: 'x' }, ...UNAVAILABLE },
  { failure: { kind: 'proxy-loop' }, ...UNAVAILABLE },
];

describe('an error in the era of the page: code, description, error_code, one trailing newline', () => {
  it.each(ROWS)('$failure.kind is $status / $code', ({ failure, status, code, name, description, headers = {} }) => {
    expect(toLegacyError(failure, PAGE_ERA)).toEqual({
      status,
      headers,
      body: `{\n  "code": ${code},\n  "description": "${description}",\n  "error_code": "${name}"\n}\n`,
    });
  });
});

describe('an error of 2017-03: description, error_code, code', () => {
  it.each(ROWS)('$failure.kind is $status / $code', ({ failure, status, code, name, description, headers = {} }) => {
    expect(toLegacyError(failure, LAST_ERA)).toEqual({
      status,
      headers,
      body: `{\n  "description": "${description}",\n  "error_code": "${name}",\n  "code": ${code}\n}\n`,
    });
  });
});

describe('the unmatched route', () => {
  it('has no trailing newline, and cascades', () => {
    expect(toLegacyError({ kind: 'route-unknown' }, PAGE_ERA)).toEqual({
      status: 404,
      headers: { 'X-Cascade': 'pass' },
      body: '{\n  "code": 10000,\n  "description": "Unknown request",\n  "error_code": "CF-NotFound"\n}',
    });
  });

  it('has none in 2017-03 either', () => {
    expect(toLegacyError({ kind: 'route-unknown' }, LAST_ERA).body).toBe(
      '{\n  "description": "Unknown request",\n  "error_code": "CF-NotFound",\n  "code": 10000\n}',
    );
  });
});

describe('an unknown error', () => {
  it.each<Failure>([{ kind: 'unexpected', reason: 'TypeError: secret' }, { kind: 'backend-rejected-request' }])(
    '$kind is UnknownError without CF-, in an order of its own, and says nothing of the cause',
    (failure) => {
      expect(toLegacyError(failure, PAGE_ERA)).toEqual({
        status: 500,
        headers: {},
        body: '{\n  "error_code": "UnknownError",\n  "description": "An unknown error occurred.",\n  "code": 10001\n}\n',
      });
      expect(toLegacyError(failure, LAST_ERA).body).toBe(
        '{\n  "description": "An unknown error occurred.",\n  "error_code": "UnknownError",\n  "code": 10001\n}\n',
      );
    },
  );
});

describe('an unknown user', () => {
  const failure: Failure = { kind: 'user-unknown', user: 'uaa-id-110' };

  it('is 400 / 1002 with the prefix, in the era of the page', () => {
    expect(toLegacyError(failure, PAGE_ERA)).toEqual({
      status: 400,
      headers: {},
      body: '{\n  "code": 1002,\n  "description": "Invalid relation: Could not find VCAP::CloudController::User with guid: uaa-id-110",\n  "error_code": "CF-InvalidRelation"\n}\n',
    });
  });

  it('is 400 / 1002 without the prefix in 2017-03', () => {
    expect(toLegacyError(failure, LAST_ERA).body).toBe(
      '{\n  "description": "Could not find VCAP::CloudController::User with guid: uaa-id-110",\n  "error_code": "CF-InvalidRelation",\n  "code": 1002\n}\n',
    );
  });
});

describe('the legacy JSON', () => {
  it('renders the body whose length legacy.md measured: 146 bytes with its newline', () => {
    const body = toLegacyJson({
      code: 10006,
      description: 'Please delete the user associations for your spaces in the org.',
      error_code: 'CF-AssociationNotEmpty',
    });
    expect(Buffer.byteLength(`${body}\n`)).toBe(146);
  });

  it.each([
    ['leaves slashes and UTF-8 raw', 'a/b é ☃ 🚨 \u2028', 'a/b é ☃ 🚨 \u2028'],
    ['escapes quotes and backslashes', '"\\', '\\"\\\\'],
    ['has the short escapes', '\b\f\n\r\t', '\\b\\f\\n\\r\\t'],
    ['writes other control characters with upper-case digits', '\u0000\u001f\u000b', '\\u0000\\u001F\\u000B'],
    ['leaves DEL raw', '\u007f', '\u007f'],
    ['does not take a backslash before u00 for an escape', '\\u001f\u0001', '\\\\u001f\\u0001'],
  ])('%s', (_, text, escaped) => {
    expect(toLegacyJson({ guid: text })).toBe(`{\n  "guid": "${escaped}"\n}`);
  });

  it('keeps an id that a client chose inside its string', () => {
    const failure: Failure = { kind: 'organization-unknown', organization: 'a"\n,"code":1,"\u001b' };
    const { body } = toLegacyError(failure, PAGE_ERA);
    expect(body).toContain('"description": "The organization could not be found: a\\"\\n,\\"code\\":1,\\"\\u001B",\n');
    expect(JSON.parse(body).code).toBe(30003);
  });
});
