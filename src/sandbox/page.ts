/** The page Holdover was created from, as the demo checks it: what was asked, and what the old server answered (`test/contract/legacy-page.txt`). */

export const PAGE_PATH = '/v2/organizations/211f7701-2715-479b-afbc-811f767fb131/users/uaa-id-110';

/** Of the page's organization. */
export const PAGE_GUID = '211f7701-2715-479b-afbc-811f767fb131';

/** Headers as they came, in their order. */
export interface RawAnswer {
  readonly status: string;
  readonly headers: readonly (readonly [name: string, value: string])[];
  readonly body: string;
}

export const PAGE_STATUS = '201 Created';

export const PAGE_BODY = `{
  "metadata": {
    "guid": "211f7701-2715-479b-afbc-811f767fb131",
    "url": "/v2/organizations/211f7701-2715-479b-afbc-811f767fb131",
    "created_at": "2014-11-24T19:32:37+00:00",
    "updated_at": null
  },
  "entity": {
    "name": "name-505",
    "billing_enabled": false,
    "quota_definition_guid": "221c8e4c-a25f-455d-9514-ee4f0252285a",
    "status": "active",
    "quota_definition_url": "/v2/quota_definitions/221c8e4c-a25f-455d-9514-ee4f0252285a",
    "spaces_url": "/v2/organizations/211f7701-2715-479b-afbc-811f767fb131/spaces",
    "domains_url": "/v2/organizations/211f7701-2715-479b-afbc-811f767fb131/domains",
    "private_domains_url": "/v2/organizations/211f7701-2715-479b-afbc-811f767fb131/private_domains",
    "users_url": "/v2/organizations/211f7701-2715-479b-afbc-811f767fb131/users",
    "managers_url": "/v2/organizations/211f7701-2715-479b-afbc-811f767fb131/managers",
    "billing_managers_url": "/v2/organizations/211f7701-2715-479b-afbc-811f767fb131/billing_managers",
    "auditors_url": "/v2/organizations/211f7701-2715-479b-afbc-811f767fb131/auditors",
    "app_events_url": "/v2/organizations/211f7701-2715-479b-afbc-811f767fb131/app_events",
    "space_quota_definitions_url": "/v2/organizations/211f7701-2715-479b-afbc-811f767fb131/space_quota_definitions"
  }
}`;

/** What the page shows; the request id is another each time. */
const PAGE_HEADERS: readonly (readonly [name: string, value: RegExp])[] = [
  ['Content-Type', /^application\/json;charset=utf-8$/],
  ['X-VCAP-Request-ID', /^[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}$/],
  ['Content-Length', /^1304$/],
  ['X-Content-Type-Options', /^nosniff$/],
];

/** How an answer differs from the page's, a line each; none where it is the same. */
export function findDifferences(answer: RawAnswer): string[] {
  const differences: string[] = [];
  if (answer.status !== PAGE_STATUS) differences.push(`status: ${answer.status} instead of ${PAGE_STATUS}`);
  for (const [name, expected] of PAGE_HEADERS) {
    const values = answer.headers.filter(([found]) => found.toLowerCase() === name.toLowerCase());
    const value = values.map(([, found]) => found).join(', ');
    if (!expected.test(value)) differences.push(`${name}: ${JSON.stringify(value)} instead of ${expected.source}`);
  }
  if (answer.body !== PAGE_BODY) {
    const expected = PAGE_BODY.split('\n');
    const found = answer.body.split('\n');
    const at = found.findIndex((line, index) => line !== expected[index]);
    const line = at === -1 ? found.length : at;
    differences.push(`body, line ${line + 1}: ${show(found[line])} instead of ${show(expected[line])}`);
  }
  return differences;
}

function show(line: string | undefined): string {
  return line === undefined ? 'nothing' : JSON.stringify(line);
}
