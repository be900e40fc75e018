/**
 * The property that matters most (decisions.md, section 4): whatever the caller and whatever the organization, a backend
 * call leaves only for a caller who may, and with that organization's own credential. Whole requests over HTTP, against a
 * real server, judged by a rule written down here a second time, on purpose.
 */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startFixtureBackend } from '../support/fixture-backend.ts';
import { type Holdover, startHoldover } from '../support/holdover.ts';
import { rawRequest } from '../support/raw-request.ts';
import { sampleRecord } from '../support/sample-directory.ts';
import { createSecret, signToken, toClaims } from '../support/tokens.ts';

const SECRET = 'a secret for the property of who may remove whom';
const USERS = {
  ann: '11111111-1111-4111-8111-111111111111',
  bob: '22222222-2222-4222-8222-222222222222',
  eve: '33333333-3333-4333-8333-333333333333',
} as const;
const NAMES = [...Object.keys(USERS), 'nobody'] as const;

const ORGANIZATIONS = [
  { guid: 'alpha', managers: ['ann'], status: 'active' },
  { guid: 'beta', managers: ['bob', 'eve'], status: 'active' },
  { guid: 'gamma', managers: ['ann', 'bob'], status: 'suspended' },
  { guid: 'delta', managers: [], status: 'active' },
] as const;

const SCOPES = [
  'cloud_controller.admin',
  'cloud_controller.write',
  'cloud_controller.read',
  'cloud_controller.admin_read_only',
  'cloud_controller',
];

const folder = mkdtempSync(join(tmpdir(), 'holdover-who-may-'));
let backend: Awaited<ReturnType<typeof startFixtureBackend>>;

beforeAll(async () => {
  const organizations = ORGANIZATIONS.map((organization) =>
    sampleRecord({
      ...organization,
      backend: { organization_id: `org-${organization.guid}`, credential: organization.guid },
    }),
  );
  writeFileSync(join(folder, 'directory.json'), JSON.stringify({ organizations, users: USERS }));
  backend = await startFixtureBackend(ORGANIZATIONS.map(({ guid }) => guid));
});
afterAll(async () => {
  await backend.close();
  rmSync(folder, { recursive: true });
});

describe.each(['2014-12', '2017-03'] as const)('with %s', (profile) => {
  let holdover: Holdover;
  beforeAll(async () => {
    holdover = await startHoldover('node', {
      ...backend.env,
      LEGACY_PROFILE: profile,
      LEGACY_TOKEN_SECRET: SECRET,
      ORGANIZATIONS: `file:${join(folder, 'directory.json')}`,
      RATE_LIMIT: 'off',
    });
  });
  afterAll(() => holdover.stop());

  it('a backend call leaves only for a caller who may, with the credential of that organization', async () => {
    const request = fc.record({
      caller: fc.constantFrom(...NAMES),
      scope: fc.oneof(
        fc.subarray(SCOPES),
        fc.subarray(SCOPES).map((scopes) => scopes.join(' ')),
      ),
      organization: fc.constantFrom(...ORGANIZATIONS),
      user: fc.constantFrom(...NAMES),
      userAgent: fc.constantFrom('fixture', 'CloudFoundryJavaClient/2'),
    });
    let allowed = 0;
    await fc.assert(
      fc.asyncProperty(request, async ({ caller, scope, organization, user, userAgent }) => {
        const mayCall = decideMay(profile, caller, scope, organization, user);
        const path = `/organization/members/${USERS[user as keyof typeof USERS]}`;
        const credential = organization.guid;
        backend.expect(mayCall ? [{ method: 'DELETE', path, credential, answer: { status: 204 } }] : []);
        const token = signToken(toClaims({ user_id: caller, scope }), createSecret(SECRET));
        const found = await rawRequest(holdover.url, {
          method: 'DELETE',
          target: `/v2/organizations/${organization.guid}/users/${user}`,
          headers: { Authorization: `bearer ${await token}`, 'User-Agent': userAgent },
        });
        expect(backend.differences()).toEqual([]);
        expect(found.status < 300).toBe(mayCall);
        if (mayCall) allowed += 1;
      }),
      { seed: 20141201, numRuns: 400 },
    );
    // A property that never saw the other side would hold of a server that refuses everybody.
    expect(allowed).toBeGreaterThan(40);
  });
});

type Sample = (typeof ORGANIZATIONS)[number];

function decideMay(
  profile: string,
  caller: string,
  scope: string | string[],
  organization: Sample,
  user: string,
): boolean {
  if (!(user in USERS) || typeof scope === 'string') return false;
  if (scope.includes('cloud_controller.admin')) return true;
  if (!scope.includes('cloud_controller.write')) return false;
  const managers: readonly string[] = organization.managers;
  const isLast = managers.length === 1 && managers[0] === user;
  if (profile === '2017-03' && isLast) return false;
  if (profile === '2017-03' && caller === user) return true;
  return managers.includes(caller) && organization.status === 'active';
}
