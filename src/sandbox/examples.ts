/** The demo's `curl` lines: the removal, and one for each common error. `test/unit/demo.test.ts` runs every one of them. */
import { PAGE_GUID, PAGE_PATH } from './page.ts';

export interface Example {
  /** What happens, and of which status and legacy code. */
  readonly title: string;
  /** One line for a POSIX shell. */
  readonly line: string;
}

export interface ExampleTokens {
  /** Of an admin. */
  readonly admin: string;
  /** Of somebody who may write, but manages nothing. */
  readonly stranger: string;
  /** Of one more stranger, who has a quota of their own to spend. */
  readonly eager: string;
}

/** Lines of one refusal over the limit, headers and body. */
const REFUSAL_LINES = 18;

/** `quota`: how many requests each caller has before the limit. */
export function toExamples(url: string, { admin, stranger, eager }: ExampleTokens, quota: number): Example[] {
  const curl = (path: string, token?: string) =>
    `curl -sS -i -X DELETE -d '' ${token === undefined ? '' : `-H 'Authorization: bearer ${token}' `}'${url}${path}'`;
  return [
    {
      title: '201: the same removal once more; nobody is left to remove, and that is no error',
      line: curl(PAGE_PATH, admin),
    },
    { title: '401, code 10002: no token', line: curl(PAGE_PATH) },
    { title: '401, code 1000: a token that nobody signed', line: curl(PAGE_PATH, `${admin.slice(0, -4)}AAAA`) },
    { title: '404, code 30003: an unknown organization', line: curl(PAGE_PATH.replace(PAGE_GUID, 'unknown'), admin) },
    {
      title: '403, code 10003: a caller who may write, but is not a manager of the organization',
      line: curl(PAGE_PATH, stranger),
    },
    { title: '400, code 1002: an unknown user', line: curl(PAGE_PATH.replace('uaa-id-110', 'uaa-id-999'), admin) },
    {
      title: '400, code 10005: a query the removal does not take',
      line: curl(`${PAGE_PATH}?inline-relations-depth=1`, admin),
    },
    {
      title: `429, code 10013: one request more than the ${quota} an hour that this caller has; the last answer is shown`,
      line: `${curl(`${PAGE_PATH}?request=[1-${quota + 1}]`, eager)} | tail -n ${REFUSAL_LINES}`,
    },
    { title: '404, code 10000: a path that is no route', line: curl('/v2/organisations', admin) },
  ];
}
