/**
 * What named clients make of an answer, as their source code does (legacy.md, section 7): whether it is a success, and
 * what their user is told. A fixture's `client` says which rule reads the answer and what must come of it. The one client
 * that runs here itself: `test/clients/cf-client.test.ts`.
 */
import type { RawAnswer } from './raw-request.ts';

export type ClientName = keyof typeof CLIENTS;

/** In the client's own words where it has some. `succeeds` is all that most of them tell of a success. */
export function toClientView(client: ClientName, answer: RawAnswer): string {
  return CLIENTS[client](answer);
}

type Read = (answer: RawAnswer) => string;

const CLIENTS = {
  /** `cf api`: any status up to 299, then JSON; without an authorization_endpoint there is nowhere to log in. */
  'cf api': (answer) => {
    const info = answer.status <= 299 ? parseObject(answer) : undefined;
    if (info === undefined) return toGatewayError(answer);
    return `api ${info['api_version']}, login at ${info['authorization_endpoint']}`;
  },

  /** `cf curl`: prints the body, whatever the status says; the gateway beneath it repeats once with a new token on code 1000. */
  'cf curl': (answer) =>
    answer.status === 401 && parseObject(answer)?.['code'] === 1000
      ? 'refreshes the token and repeats'
      : `exits 0 after printing ${answer.body.length} bytes`,

  /** The gateway of cf CLI v6 as terraform-provider-cf 0.9 calls it: a body up to 203 must be JSON, and polls if its URL is a job's. */
  'terraform 0.9': (answer) => {
    if (answer.status > 299) return toGatewayError(answer);
    if (answer.status > 203 || answer.body.toString().trim() === '') return 'succeeds';
    const { metadata } = (parseObject(answer) ?? {}) as { metadata?: { url?: unknown } };
    if (metadata === undefined) return 'Invalid JSON response from server';
    return String(metadata.url).includes('/jobs/') ? 'waits for a job' : 'succeeds';
  },

  'cf CLI v5': (answer) => {
    if (answer.status >= 200 && answer.status < 400) return 'succeeds';
    const error = parseObject(answer);
    return error?.['code'] === undefined ? `HTTP ${answer.status}` : `${error['code']}: ${error['description']}`;
  },

  /** go-cfclient from 1f38b4a (2017-02-24) to 3805b12 (2017-03-14). */
  'go-cfclient of early 2017': (answer) =>
    answer.status === 204 ? 'succeeds' : toGoError(answer) || `error removing user, response code ${answer.status}`,

  /** After 3805b12 it wraps an error that is nil, so every status below 400 passes. */
  'go-cfclient': (answer) => toGoError(answer) || 'succeeds',

  /** Jackson reads a body into Void as null, which Reactor's `map` refuses; no body is never read. */
  'cf-java-client': (answer) => {
    if (answer.status >= 400) {
      const error = parseObject(answer);
      if (!Number.isInteger(error?.['code'])) return `UnknownCloudFoundryException ${answer.status}`;
      return `${error?.['error_code']}(${error?.['code']}): ${error?.['description']}`;
    }
    return answer.body.length === 0 ? 'succeeds' : 'NullPointerException after the removal';
  },

  /** The front end wants all three keys of an error, or shows the raw text. */
  Stratos: (answer) => {
    if (answer.status < 400) return 'succeeds';
    const { code, description, error_code: name } = parseObject(answer) ?? {};
    return code && description && name ? `${description} (${name})` : answer.body.toString();
  },

  'paas-admin': (answer) => {
    if (answer.status >= 200 && answer.status < 300) return 'succeeds';
    const error = parseObject(answer);
    return `failed with status ${answer.status}${error ? ` and data ${JSON.stringify(error)}` : ''}`;
  },

  /** cf-mgmt v0.0.48 to v0.0.90: its own HTTP code, before it took up go-cfclient. */
  'cf-mgmt before 1.0': (answer) =>
    answer.status === 200 || answer.status === 204 ? 'succeeds' : `delete: call failed with status ${answer.status}`,
} as const satisfies Record<string, Read>;

function parseObject({ body }: RawAnswer): Record<string, unknown> | undefined {
  try {
    const found: unknown = JSON.parse(body.toString());
    return typeof found === 'object' && found !== null ? (found as Record<string, unknown>) : undefined;
  } catch {
    return undefined;
  }
}

function toGatewayError(answer: RawAnswer): string {
  const { code, description } = parseObject(answer) ?? {};
  // A Go int and a Go string: of any other type, or absent, they stay zero.
  const number = Number.isInteger(code) ? code : 0;
  const text = typeof description === 'string' ? description : '';
  return `Server error, status code: ${answer.status}, error code: ${number}, message: ${text}`;
}

function toGoError(answer: RawAnswer): string {
  if (answer.status < 400) return '';
  const error = parseObject(answer);
  if (error === undefined || !Number.isInteger(error['code'])) return `CloudFoundryHTTPError ${answer.status}`;
  return `cfclient error (${error['error_code']}|${error['code']}): ${error['description']}`;
}
