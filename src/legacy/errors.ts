/** THE error translation: every Failure as the legacy server would have answered it (legacy.md, section 4; decisions.md, section 3). */
import type { Failure, RateLimitSubject } from '../failure.ts';
import type { Shape } from './era.ts';
import { toLegacyJson } from './json.ts';

export interface LegacyError {
  readonly status: number;
  readonly body: string;
  /** Headers beyond those of every answer. */
  readonly headers: Readonly<Record<string, string>>;
}

interface Entry {
  readonly status: number;
  readonly code: number;
  /** Without the prefix `CF-`. */
  readonly name: string;
  readonly description: string;
  readonly retryAfterSeconds?: number;
}

type ServerFault = Extract<Failure, { kind: 'unexpected' | 'backend-rejected-request' }>;

/** The only way out for a failure. `shape` is that of the client's profile. */
export function toLegacyError(failure: Failure, shape: Shape): LegacyError {
  if (failure.kind === 'unexpected' || failure.kind === 'backend-rejected-request') return toUnknownError(shape);
  const entry = toEntry(failure, shape);
  const fields = { code: entry.code, description: entry.description, error_code: `CF-${entry.name}` };
  const body = toLegacyJson(Object.fromEntries(shape.errorKeys.map((key) => [key, fields[key]])));
  if (failure.kind === 'route-unknown') {
    // Sinatra's not_found handler appended no newline, and the router cascaded (legacy.md, sections 1.2 and 4.1).
    return { status: entry.status, body, headers: { 'X-Cascade': 'pass' } };
  }
  const headers = entry.retryAfterSeconds === undefined ? {} : { 'Retry-After': `${entry.retryAfterSeconds}` };
  return { status: entry.status, body: `${body}\n`, headers };
}

/** The handler of unknown exceptions had a key order of its own and no `CF-` (legacy.md, section 4.1). */
function toUnknownError(shape: Shape): LegacyError {
  const fields = { code: 10001, description: 'An unknown error occurred.', error_code: 'UnknownError' };
  const body = toLegacyJson(Object.fromEntries(shape.unknownErrorKeys.map((key) => [key, fields[key]])));
  return { status: 500, body: `${body}\n`, headers: {} };
}

function toEntry(failure: Exclude<Failure, ServerFault>, shape: Shape): Entry {
  switch (failure.kind) {
    case 'route-unknown':
      return { status: 404, code: 10000, name: 'NotFound', description: 'Unknown request' };
    case 'request-invalid':
      return { status: 400, ...INVALID_REQUEST };
    case 'body-too-large':
      return { status: 413, ...INVALID_REQUEST };
    case 'token-missing':
      return { status: 401, code: 10002, name: 'NotAuthenticated', description: 'Authentication error' };
    case 'token-invalid':
      return { status: 401, code: 1000, name: 'InvalidAuthToken', description: 'Invalid Auth Token' };
    case 'rate-limited':
      return { status: 429, ...RATE_LIMITED[failure.subject], retryAfterSeconds: failure.retryAfterSeconds };
    case 'backend-rate-limited':
      return { status: 429, ...RATE_LIMITED.organization, retryAfterSeconds: failure.retryAfterSeconds };
    case 'query-invalid':
      return {
        status: 400,
        code: 10005,
        name: 'BadQueryParameter',
        description: 'The query parameter is invalid: inline_relations_depth must be <= 0',
      };
    case 'organization-unknown':
      return {
        status: 404,
        code: 30003,
        name: 'OrganizationNotFound',
        description: `The organization could not be found: ${failure.organization}`,
      };
    case 'scope-missing':
      return {
        status: 403,
        code: 10007,
        name: 'InsufficientScope',
        description: 'Your token lacks the necessary scopes to access this resource.',
      };
    case 'access-denied':
    case 'backend-forbidden':
      return {
        status: 403,
        code: 10003,
        name: 'NotAuthorized',
        description: 'You are not authorized to perform the requested action',
      };
    case 'user-unknown':
      return {
        status: 400,
        code: 1002,
        name: 'InvalidRelation',
        description: shape.toInvalidRelation(`Could not find VCAP::CloudController::User with guid: ${failure.user}`),
      };
    case 'last-manager':
      return {
        status: 403,
        code: 30004,
        name: 'LastManagerInOrg',
        description: 'Cannot remove last Org Manager in org',
      };
    case 'unavailable':
    case 'proxy-loop':
      return {
        status: 503,
        code: 10015,
        name: 'ServiceUnavailable',
        description: 'The organization service is temporarily unavailable.',
      };
  }
}

const INVALID_REQUEST = { code: 10004, name: 'InvalidRequest', description: 'The request is invalid' } as const;

const OVER_LIMIT = { code: 10013, name: 'RateLimitExceeded', description: 'Rate Limit Exceeded' } as const;

const RATE_LIMITED: Readonly<Record<RateLimitSubject, Omit<Entry, 'status'>>> = {
  caller: OVER_LIMIT,
  organization: OVER_LIMIT,
  address: {
    code: 10014,
    name: 'IPBasedRateLimitExceeded',
    description:
      'Rate Limit Exceeded: Unauthenticated requests from this IP address have exceeded the limit. Please log in.',
  },
};
