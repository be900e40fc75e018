/** Who may (decisions.md, section 4), case by case; as a property over whole requests: test/property/who-may.test.ts. */
import { describe, expect, it } from 'vitest';
import { getOrganization } from '../../src/legacy/get-organization.ts';
import type { Operation } from '../../src/legacy/operation.ts';
import { type ProfileName, profileOf } from '../../src/legacy/profiles.ts';
import { removeOrgUser } from '../../src/legacy/remove-org-user.ts';
import type { Caller } from '../../src/policy/authenticate.ts';
import { authorize, findProtectedManager } from '../../src/policy/authorize.ts';
import type { Organization } from '../../src/policy/organization.ts';

const WRITE = 'cloud_controller.write';
const READ = 'cloud_controller.read';
const ADMIN = 'cloud_controller.admin';

const callerWith = (id: string, ...scopes: string[]): Caller => ({ id, clientId: undefined, scopes: new Set(scopes) });

const organizationOf = (managers: string[], status = 'active'): Organization => ({
  guid: 'g',
  name: 'n',
  createdAtSeconds: 0,
  updatedAtSeconds: null,
  billingEnabled: false,
  quotaDefinitionGuid: null,
  status,
  managers: new Set(managers),
  backend: { organizationId: 'o', credential: 'c' },
});

function decide(
  caller: Caller,
  {
    operation = removeOrgUser,
    managers = ['manager'],
    status = 'active',
    user = 'user',
    profile = '2014-12',
  }: {
    operation?: Operation;
    managers?: string[];
    status?: string;
    user?: string;
    profile?: ProfileName;
  } = {},
): string {
  const subject = { organization: organizationOf(managers, status), user };
  const decided = authorize(caller, operation, subject, profileOf(profile).access);
  if (decided.ok) return 'allowed';
  return 'reason' in decided.failure ? decided.failure.reason : decided.failure.kind;
}

describe('a removal', () => {
  it('is open to admins, in a suspended organization too', () => {
    expect(decide(callerWith('x', ADMIN))).toBe('allowed');
    expect(decide(callerWith('x', ADMIN), { status: 'suspended' })).toBe('allowed');
  });

  it('is open to managers of the active organization, with the scope', () => {
    expect(decide(callerWith('manager', WRITE))).toBe('allowed');
    expect(decide(callerWith('manager', WRITE), { status: 'suspended' })).toBe('organization-not-active');
    expect(decide(callerWith('manager'))).toBe('scope-missing');
    expect(decide(callerWith('manager', READ, 'cloud_controller.admin_read_only'))).toBe('scope-missing');
  });

  it('is closed to everybody else, and says first what is wrong with the scope', () => {
    expect(decide(callerWith('x', WRITE))).toBe('not-a-manager');
    expect(decide(callerWith('x'))).toBe('scope-missing');
    expect(decide(callerWith('MANAGER', WRITE))).toBe('not-a-manager');
  });

  it('of oneself needs the access rules of 2017', () => {
    expect(decide(callerWith('user', WRITE))).toBe('not-a-manager');
    expect(decide(callerWith('user', WRITE), { profile: '2015-11' })).toBe('not-a-manager');
    expect(decide(callerWith('user', WRITE), { profile: '2017-03' })).toBe('allowed');
    expect(decide(callerWith('user'), { profile: '2017-03' })).toBe('scope-missing');
    expect(decide(callerWith('x', WRITE), { profile: '2017-03' })).toBe('not-a-manager');
  });
});

describe('reading an organization', () => {
  it('is open to admins, read-only admins, and managers with the scope, active or not', () => {
    const operation = getOrganization;
    expect(decide(callerWith('x', 'cloud_controller.admin_read_only'), { operation })).toBe('allowed');
    expect(decide(callerWith('manager', READ), { operation, status: 'suspended' })).toBe('allowed');
    expect(decide(callerWith('manager', WRITE), { operation })).toBe('scope-missing');
    expect(decide(callerWith('user', READ), { operation, profile: '2017-03' })).toBe('not-a-manager');
  });
});

describe('the last manager', () => {
  const protectedIn = (managers: string[], caller: Caller, profile: ProfileName) =>
    findProtectedManager(caller, removeOrgUser, organizationOf(managers), profileOf(profile).access);

  it('is protected since 2016, from callers who are no admins', () => {
    expect(protectedIn(['only'], callerWith('only', WRITE), '2017-03')).toBe('only');
    expect(protectedIn(['only'], callerWith('x', ADMIN), '2017-03')).toBeUndefined();
    expect(protectedIn(['only'], callerWith('only', WRITE), '2015-11')).toBeUndefined();
    expect(protectedIn(['one', 'other'], callerWith('one', WRITE), '2017-03')).toBeUndefined();
    expect(protectedIn([], callerWith('one', WRITE), '2017-03')).toBeUndefined();
  });
});
