/** Who lives in the sandbox: the page's organization and another, as the backend has them and as the directory names them. */
import { randomBytes } from 'node:crypto';
import type { SandboxMember, SandboxOrganization } from './members.ts';
import { PAGE_GUID } from './page.ts';

export interface SandboxWorld {
  /** For the sandbox backend. */
  readonly organizations: readonly SandboxOrganization[];
  /** BACKEND_CREDENTIALS. */
  readonly credentials: Readonly<Record<string, { readonly client_id: string; readonly client_secret: string }>>;
  /** What the file of ORGANIZATIONS holds. */
  readonly directory: object;
}

/** Of the page's organization and of the page's user, at the backend. */
export const PAGE_ORGANIZATION_ID = '5f1d6f0e-3c5b-4b3a-9a55-0f6a2d1c7b90';
export const PAGE_MEMBER_ID = '7b1f4c52-91d4-4c7e-b0e6-6f0f6b6c2e37';

const OTHER_GUID = '6f3c1f0e-8a6d-4d0b-8f0e-2f4f0b8f7c11';
const OTHER_ORGANIZATION_ID = 'c2b6a0f4-52f8-4c53-9d0a-7d0f8e3b1a25';
const OTHER_MEMBER_ID = 'e9d3b7a1-0c4e-4b8f-a1d2-93c5f6e7a8b4';
const OWNER_ID = '0c9a2f0e-7a53-4d0e-8a2b-3f4b8f2a9d11';
const SECRET_BYTES = 24;

const OWNER = toMember(OWNER_ID, 'Ada', 'OrgOwner');
const PAGE_MEMBER = toMember(PAGE_MEMBER_ID, 'Ben', 'OrgAdmin');
const OTHER_MEMBER = toMember(OTHER_MEMBER_ID, 'Cleo', 'OrgAdmin');

/** Its secrets are new each time. */
export function createWorld(): SandboxWorld {
  const page = createKey('page');
  const other = createKey('other');
  return {
    organizations: [
      toOrganization(PAGE_ORGANIZATION_ID, 'Example Ltd', page, [OWNER, PAGE_MEMBER, OTHER_MEMBER]),
      toOrganization(OTHER_ORGANIZATION_ID, 'Other Ltd', other, [OWNER, PAGE_MEMBER]),
    ],
    credentials: { page, other },
    directory: {
      organizations: [
        toRecord(PAGE_GUID, 'name-505', { organization_id: PAGE_ORGANIZATION_ID, credential: 'page' }),
        toRecord(OTHER_GUID, 'name-506', { organization_id: OTHER_ORGANIZATION_ID, credential: 'other' }),
      ],
      users: { 'uaa-id-100': OWNER_ID, 'uaa-id-110': PAGE_MEMBER_ID, 'uaa-id-120': OTHER_MEMBER_ID },
      unmapped_users: 'refuse',
    },
  };
}

function createKey(name: string) {
  return { client_id: `sandbox-${name}`, client_secret: randomBytes(SECRET_BYTES).toString('base64url') };
}

function toOrganization(
  id: string,
  name: string,
  key: { readonly client_id: string; readonly client_secret: string },
  members: readonly SandboxMember[],
): SandboxOrganization {
  const { client_id: clientId, client_secret: clientSecret } = key;
  return { id, name, clientId, clientSecret, scopes: ['read:org', 'update:org'], members };
}

function toMember(id: string, firstName: string, role: SandboxMember['role']): SandboxMember {
  const email = `${firstName.toLowerCase()}@example.com`;
  return { id, email, createdAt: '2025-11-03T09:15:00Z', firstName, lastName: 'Example', role };
}

function toRecord(guid: string, name: string, backend: { organization_id: string; credential: string }) {
  return {
    guid,
    name,
    created_at: '2014-11-24T19:32:37+00:00',
    updated_at: null,
    billing_enabled: false,
    quota_definition_guid: '221c8e4c-a25f-455d-9514-ee4f0252285a',
    status: 'active',
    managers: ['uaa-id-120'],
    backend,
  };
}
