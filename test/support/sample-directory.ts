/** Directories for tests, as the JSON that an operator would write. */
export interface SampleRecord {
  guid: string;
  [member: string]: unknown;
}

let next = 0;

/** A valid record; `changes` may break it. Each has a credential and a backend organization of its own. */
export function sampleRecord(changes: Readonly<Record<string, unknown>> = {}): SampleRecord {
  next += 1;
  return {
    guid: `guid-${next}`,
    name: `name-${next}`,
    created_at: '2014-11-24T19:32:37+00:00',
    updated_at: null,
    billing_enabled: false,
    quota_definition_guid: '221c8e4c-a25f-455d-9514-ee4f0252285a',
    status: 'active',
    managers: ['uaa-id-120'],
    backend: { organization_id: `org-${next}`, credential: `credential-${next}` },
    ...changes,
  };
}

export function sampleDirectory(changes: Readonly<Record<string, unknown>> = {}): string {
  return JSON.stringify({ organizations: [], users: {}, ...changes });
}

export const BACKEND_USER = '7b1f4c52-91d4-4c7e-b0e6-6f0f6b6c2e37';
export const OTHER_BACKEND_USER = '0c9a2f0e-7a53-4d0e-8a2b-3f4b8f2a9d11';
