/** Whether an answer could be the legacy server's: its form only, whatever was asked. */

export interface WireAnswer {
  readonly status: number;
  /** Names in lower case. */
  readonly headers: ReadonlyMap<string, string>;
  readonly body: string;
  /** To a HEAD: its body was not sent. */
  readonly isHead?: boolean;
}

const REQUEST_ID = /^(?:[A-Za-z0-9_-]{1,255}::)?[\da-f]{8}-[\da-f]{4}-4[\da-f]{3}-[89ab][\da-f]{3}-[\da-f]{12}$/;

/** By code: its name, and whether a newline ends its body. */
const ERRORS = new Map([
  [1000, 'CF-InvalidAuthToken'],
  [1002, 'CF-InvalidRelation'],
  [10000, 'CF-NotFound'],
  [10001, 'UnknownError'],
  [10002, 'CF-NotAuthenticated'],
  [10003, 'CF-NotAuthorized'],
  [10004, 'CF-InvalidRequest'],
  [10005, 'CF-BadQueryParameter'],
  [10007, 'CF-InsufficientScope'],
  [10013, 'CF-RateLimitExceeded'],
  [10014, 'CF-IPBasedRateLimitExceeded'],
  [10015, 'CF-ServiceUnavailable'],
  [30003, 'CF-OrganizationNotFound'],
  [30004, 'CF-LastManagerInOrg'],
]);

const HEADERS = new Set([
  ...['connection', 'content-length', 'content-type', 'date', 'keep-alive', 'retry-after', 'x-cascade'],
  ...['x-content-type-options', 'x-ratelimit-limit', 'x-ratelimit-remaining', 'x-ratelimit-reset', 'x-vcap-request-id'],
]);

/** What is wrong with it, one line each. */
export function findShapeFaults({ status, headers, body, isHead = false }: WireAnswer): string[] {
  const faults: string[] = [];
  const check = (isRight: boolean, fault: string) => isRight || faults.push(fault);
  check(REQUEST_ID.test(headers.get('x-vcap-request-id') ?? ''), `request id ${headers.get('x-vcap-request-id')}`);
  check(headers.get('x-content-type-options') === 'nosniff', 'no nosniff');
  for (const name of headers.keys()) check(HEADERS.has(name), `header ${name}`);
  if (status === 204) {
    check(body === '' && !headers.has('content-type') && !headers.has('content-length'), '204 with a body');
    return faults;
  }
  check(headers.get('content-type') === 'application/json;charset=utf-8', `type ${headers.get('content-type')}`);
  if (isHead) return faults;
  check(headers.get('content-length') === `${Buffer.byteLength(body)}`, `length ${headers.get('content-length')}`);
  const json = parse(body);
  if (status === 200 || status === 201) check('metadata' in json && 'entity' in json, 'no organization');
  else faults.push(...findErrorFaults(status, json, body));
  return faults;
}

function findErrorFaults(status: number, json: Record<string, unknown>, body: string): string[] {
  const { code, description, error_code } = json;
  const faults: string[] = [];
  if (status < 400) faults.push(`status ${status}`);
  if (Object.keys(json).sort().join() !== 'code,description,error_code') faults.push(`keys ${Object.keys(json)}`);
  if (typeof code !== 'number' || ERRORS.get(code) !== error_code) faults.push(`code ${code} is ${error_code}`);
  if (typeof description !== 'string' || description === '') faults.push('no description');
  if (body.endsWith('\n') === (code === 10000)) faults.push('trailing newline');
  return faults;
}

function parse(body: string): Record<string, unknown> {
  try {
    const json: unknown = JSON.parse(body);
    return typeof json === 'object' && json !== null ? (json as Record<string, unknown>) : {};
  } catch {
    return {};
  }
}

/**
 * The answers in a connection's bytes (Latin-1), by their Content-Length; and what is left over, which is a fault. Where a
 * HEAD may be among the requests, an answer may end with its head.
 */
export function readAnswers(
  bytes: string,
  mayBeHead = false,
): { readonly answers: WireAnswer[]; readonly rest: string } {
  const answers: WireAnswer[] = [];
  let rest = bytes;
  for (;;) {
    const end = rest.indexOf('\r\n\r\n');
    const status = Number(/^HTTP\/1\.1 (\d{3}) [\x20-\x7e]*\r\n/.exec(rest)?.[1]);
    if (end === -1 || !Number.isInteger(status)) return { answers, rest };
    const lines = rest.slice(0, end).split('\r\n').slice(1);
    const headers = new Map(lines.map((line) => toField(line)));
    const behind = rest.slice(end + 4);
    const isHead = mayBeHead && /^(?:HTTP\/1\.1 |$)/.test(behind);
    const length = isHead || status === 204 ? 0 : Number(headers.get('content-length') ?? 0);
    const body = Buffer.from(behind.slice(0, length), 'latin1').toString('utf8');
    rest = behind.slice(length);
    if (status >= 200) answers.push({ status, headers, body, isHead });
  }
}

function toField(line: string): [string, string] {
  const colon = line.indexOf(':');
  return [line.slice(0, colon).toLowerCase(), line.slice(colon + 1).trim()];
}
