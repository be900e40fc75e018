/** The success answer against the page it was created from: `test/contract/legacy-page.txt`, a copy that nothing rewrites. */
import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import type { Shape } from '../../src/legacy/era.ts';
import { getOrganization } from '../../src/legacy/get-organization.ts';
import { toLegacyHeaders } from '../../src/legacy/headers.ts';
import type { OrganizationEntity } from '../../src/legacy/organization.ts';
import { profileOf } from '../../src/legacy/profiles.ts';
import { removeOrgUser } from '../../src/legacy/remove-org-user.ts';

const PAGE = readFileSync(new URL('../contract/legacy-page.txt', import.meta.url), 'utf8');

/** What stands under a heading of the page, up to the next heading named. */
function section(heading: string, next?: string): string {
  const start = PAGE.lastIndexOf(`\n${heading}\n\n`) + heading.length + 3;
  return PAGE.slice(start, next === undefined ? undefined : PAGE.indexOf(`\n\n${next}\n`, start));
}

const PAGE_BODY = section('Body');
const PAGE_HEADERS = section('Headers', 'Status').split('\n');
const REQUEST_ID = '1116c63a-e216-4e4d-8dec-e8967d42907f';

const ORGANIZATION: OrganizationEntity = {
  guid: '211f7701-2715-479b-afbc-811f767fb131',
  name: 'name-505',
  createdAtSeconds: Date.UTC(2014, 10, 24, 19, 32, 37) / 1000,
  updatedAtSeconds: null,
  billingEnabled: false,
  quotaDefinitionGuid: '221c8e4c-a25f-455d-9514-ee4f0252285a',
  status: 'active',
};

const { shape } = profileOf('2014-12');
const bodyOf = (changes: Partial<OrganizationEntity>, of: Shape = shape) =>
  removeOrgUser.toAnswer({ ...ORGANIZATION, ...changes }, of).body ?? '';
const sizeOf = (text: string) => Buffer.byteLength(text);

describe('the page', () => {
  it('was read as it was published: 1304 bytes of body, the status, four headers', () => {
    expect(sizeOf(PAGE_BODY)).toBe(1304);
    expect(PAGE_BODY).toMatch(/^\{.*\}$/s);
    expect(section('Status', 'Body')).toBe('201 Created');
    expect(PAGE_HEADERS).toHaveLength(4);
  });

  it('gets its own body back, byte for byte, with 201', () => {
    expect(removeOrgUser.toAnswer(ORGANIZATION, shape)).toEqual({ status: 201, body: PAGE_BODY });
  });

  it('gets its own headers back, in its order', () => {
    const headers = Object.entries(toLegacyHeaders(REQUEST_ID, sizeOf(PAGE_BODY))).map(
      ([name, value]) => `${name}: ${value}`,
    );
    expect(headers).toEqual(PAGE_HEADERS);
  });

  it('names the operation that is adapted', () => {
    const [method, path] = section('Route', 'cURL').split(' ');
    expect(method).toBe(removeOrgUser.method);
    expect(path).toBe(removeOrgUser.path.replace(':organization', ORGANIZATION.guid).replace(':user', 'uaa-id-110'));
  });
});

describe('the length of the success body (legacy.md, "Content-Length computation")', () => {
  it.each<[string, Partial<OrganizationEntity>, number]>([
    ['a name of four bytes: 1296 and its length', { name: 'cafe' }, 1300],
    ['a name beyond ASCII counts in UTF-8 bytes', { name: 'café' }, 1301],
    ['updated_at set: 23 more', { updatedAtSeconds: ORGANIZATION.createdAtSeconds }, 1327],
    ['billing enabled: 1 less', { billingEnabled: true }, 1303],
    ['suspended: 3 more', { status: 'suspended' }, 1307],
  ])('%s', (_, changes, bytes) => {
    expect(sizeOf(bodyOf(changes))).toBe(bytes);
  });

  it('each timestamp in the Z form: 5 less', () => {
    const zulu = profileOf('2015-01').shape;
    expect(sizeOf(bodyOf({}, zulu))).toBe(1299);
    expect(sizeOf(bodyOf({ updatedAtSeconds: 0 }, zulu))).toBe(1327 - 10);
  });
});

it('an organization without a quota has a null guid and no URL of it', () => {
  const lines = PAGE_BODY.split('\n')
    .filter((line) => !line.includes('quota_definition_url"'))
    .map((line) => (line.includes('"quota_definition_guid"') ? '    "quota_definition_guid": null,' : line));
  expect(bodyOf({ quotaDefinitionGuid: null })).toBe(lines.join('\n'));
});

it('updated_at is written as created_at is', () => {
  expect(bodyOf({ updatedAtSeconds: 1416857557 })).toContain('    "updated_at": "2014-11-24T19:32:37+00:00"\n');
});

describe('the operation', () => {
  it('lets admins in, asks everybody else for write, and only managers of an active organization', () => {
    expect(removeOrgUser.access).toEqual({
      always: ['cloud_controller.admin'],
      scope: 'cloud_controller.write',
      onlyWhileActive: true,
    });
    expect(removeOrgUser.effect).toBe('remove-member');
  });

  it('answers 204 without a body from 2015-11 on', () => {
    for (const name of ['2015-11', '2017-03'] as const) {
      expect(removeOrgUser.toAnswer(ORGANIZATION, profileOf(name).shape)).toEqual({ status: 204, body: null });
    }
  });
});

describe('reading an organization', () => {
  it('shows the page’s body with 200, in every era', () => {
    expect(getOrganization.toAnswer(ORGANIZATION, shape)).toEqual({ status: 200, body: PAGE_BODY });
    const later = getOrganization.toAnswer(ORGANIZATION, profileOf('2017-03').shape);
    expect(later).toEqual({ status: 200, body: PAGE_BODY.replace('+00:00', 'Z') });
  });

  it('changes nothing, and read-only admins may', () => {
    expect(getOrganization.effect).toBe('none');
    expect(getOrganization.access).toEqual({
      always: ['cloud_controller.admin', 'cloud_controller.admin_read_only'],
      scope: 'cloud_controller.read',
      onlyWhileActive: false,
    });
  });
});
