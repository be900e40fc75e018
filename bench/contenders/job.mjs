/**
 * The part of the job that no library does, the same for every contender on Node: directory, access, body, errors, log
 * and audit. How tokens are verified, limits taken and the backend called is each contender's own.
 */
import { randomUUID } from 'node:crypto';
import { readFileSync, writeSync } from 'node:fs';
import { pino } from 'pino';

const STDOUT = 1;

const { PORT, BACKEND_URL, REDIS_URL, DIRECTORY, CREDENTIALS, ALG, KEY_FILE, RATE_LIMIT } = process.env;

export const settings = {
  port: Number(PORT),
  backendUrl: BACKEND_URL,
  redisUrl: REDIS_URL,
  alg: ALG,
  /** The secret, or the public key as PEM. */
  key: KEY_FILE && readFileSync(KEY_FILE, 'utf8'),
  /** Requests of one caller in an hour. */
  rateLimit: Number(RATE_LIMIT),
  audience: 'cloud_controller',
};

const AN_HOUR_MS = 3_600_000;
export const RATE_LIMIT_WINDOW_MS = AN_HOUR_MS;

export const ERRORS = {
  tokenMissing: toError(401, 10002, 'NotAuthenticated', 'Authentication error'),
  tokenInvalid: toError(401, 1000, 'InvalidAuthToken', 'Invalid Auth Token'),
  rateLimited: toError(429, 10013, 'RateLimitExceeded', 'Rate Limit Exceeded'),
  scopeMissing: toError(
    403,
    10007,
    'InsufficientScope',
    'Your token lacks the necessary scopes to access this resource.',
  ),
  accessDenied: toError(403, 10003, 'NotAuthorized', 'You are not authorized to perform the requested action'),
  unavailable: toError(503, 10015, 'ServiceUnavailable', 'The organization service is temporarily unavailable.'),
};

function toError(status, code, name, description) {
  return { status, body: `${JSON.stringify({ code, description, error_code: `CF-${name}` }, null, 2)}\n` };
}

/** What is thrown to end a request with a legacy error. */
export class LegacyError extends Error {
  constructor(answer) {
    super('a legacy error');
    this.answer = answer;
  }
}

/** The bearer token of the Authorization header. Throws where there is none. */
export function readBearer(authorization) {
  const [scheme, token, ...rest] = (authorization ?? '').split(' ');
  if (scheme.toLowerCase() !== 'bearer') throw new LegacyError(ERRORS.tokenMissing);
  if (!token || rest.length > 0) throw new LegacyError(ERRORS.tokenInvalid);
  return token;
}

/** What the libraries do not insist on: an end, a caller, no refresh token. */
export function checkClaims({ exp, jti, user_id }) {
  const isFine =
    Number.isInteger(exp) && typeof user_id === 'string' && user_id !== '' && !`${jti ?? ''}`.endsWith('-r');
  if (!isFine) throw new LegacyError(ERRORS.tokenInvalid);
}

const directory = DIRECTORY && JSON.parse(readFileSync(DIRECTORY, 'utf8'));
const organizations = new Map(directory?.organizations.map((record) => [record.guid, record]));
const users = new Map(Object.entries(directory?.users ?? {}));
const credentials = new Map(CREDENTIALS && Object.entries(JSON.parse(readFileSync(CREDENTIALS, 'utf8'))));

const UUID = /^[\da-f]{8}(?:-[\da-f]{4}){3}-[\da-f]{12}$/i;

/** Organization, access and user, in the legacy order. Throws the legacy error where one of them says no. */
export function prepare(guid, user, { scope, user_id }) {
  const organization = organizations.get(guid);
  if (organization === undefined) {
    const text = `The organization could not be found: ${guid}`;
    throw new LegacyError(toError(404, 30003, 'OrganizationNotFound', text));
  }
  const isAdmin = scope.includes('cloud_controller.admin');
  if (!isAdmin && !scope.includes('cloud_controller.write')) throw new LegacyError(ERRORS.scopeMissing);
  const isManager = organization.status === 'active' && organization.managers.includes(user_id);
  if (!isAdmin && !isManager) throw new LegacyError(ERRORS.accessDenied);
  const backendUser = users.get(user) ?? (UUID.test(user) ? user.toLowerCase() : undefined);
  if (backendUser === undefined) {
    const text = `Invalid relation: Could not find VCAP::CloudController::User with guid: ${user}`;
    throw new LegacyError(toError(400, 1002, 'InvalidRelation', text));
  }
  return {
    organization,
    requestId: randomUUID(),
    path: `/organization/members/${backendUser}`,
    authorization: `Bearer ${credentials.get(organization.backend.credential).token}`,
    body: toBody(organization),
    line: { caller: user_id, organization: guid, user, backend_user: backendUser },
  };
}

export function toBody({ guid, name, created_at, updated_at, billing_enabled, quota_definition_guid, status }) {
  const url = `/v2/organizations/${guid}`;
  const body = {
    metadata: { guid, url, created_at, updated_at },
    entity: {
      name,
      billing_enabled,
      quota_definition_guid,
      status,
      quota_definition_url: `/v2/quota_definitions/${quota_definition_guid}`,
      spaces_url: `${url}/spaces`,
      domains_url: `${url}/domains`,
      private_domains_url: `${url}/private_domains`,
      users_url: `${url}/users`,
      managers_url: `${url}/managers`,
      billing_managers_url: `${url}/billing_managers`,
      auditors_url: `${url}/auditors`,
      app_events_url: `${url}/app_events`,
      space_quota_definitions_url: `${url}/space_quota_definitions`,
    },
  };
  return JSON.stringify(body, null, 2);
}

/** Before the removal and after it, at once: what is not written before a crash never happened. */
export function writeAudit(audit, { requestId, line }, outcome = {}) {
  const at = new Date().toISOString();
  writeSync(STDOUT, `${JSON.stringify({ audit, at, request_id: requestId, ...line, ...outcome })}\n`);
}

const LOG_BUFFER_BYTES = 8 * 1024;

const log = pino({ base: null }, pino.destination({ dest: STDOUT, sync: false, minLength: LOG_BUFFER_BYTES }));

/** One buffered line for each request. */
export function logRequest(method, status, startedAt, line) {
  log.info({ method, status, ms: performance.now() - startedAt, ...line }, 'request');
}

export function toHeaders(requestId, body) {
  return {
    'Content-Type': 'application/json;charset=utf-8',
    'X-VCAP-Request-ID': requestId,
    'Content-Length': `${Buffer.byteLength(body)}`,
    'X-Content-Type-Options': 'nosniff',
  };
}
