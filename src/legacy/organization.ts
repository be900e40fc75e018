/** THE success body: an organization as the legacy server rendered it (legacy.md, section 2). */

import type { Shape } from './era.ts';
import { toLegacyJson } from './json.ts';

/** What the body shows of an organization. Times are whole seconds since the epoch. */
export interface OrganizationEntity {
  readonly guid: string;
  readonly name: string;
  readonly createdAtSeconds: number;
  readonly updatedAtSeconds: number | null;
  readonly billingEnabled: boolean;
  readonly quotaDefinitionGuid: string | null;
  readonly status: string;
}

/** The last body of each record: it serves every request until the directory brings another record. */
const rendered = new WeakMap<OrganizationEntity, { readonly shape: Shape; readonly body: string }>();

/** The same body for the same record and shape: both are never changed, only replaced. */
export function toOrganizationBody(organization: OrganizationEntity, shape: Shape): string {
  const last = rendered.get(organization);
  if (last?.shape === shape) return last.body;
  const body = renderOrganization(organization, shape);
  rendered.set(organization, { shape, body });
  return body;
}

/** Key order is part of the contract. Without a quota `quota_definition_url` is absent. */
function renderOrganization(organization: OrganizationEntity, shape: Shape): string {
  const { guid, quotaDefinitionGuid } = organization;
  const url = `/v2/organizations/${guid}`;
  return toLegacyJson({
    metadata: {
      guid,
      url,
      created_at: shape.toTimestamp(organization.createdAtSeconds),
      updated_at: organization.updatedAtSeconds === null ? null : shape.toTimestamp(organization.updatedAtSeconds),
    },
    entity: {
      name: organization.name,
      billing_enabled: organization.billingEnabled,
      quota_definition_guid: quotaDefinitionGuid,
      status: organization.status,
      ...(quotaDefinitionGuid === null
        ? undefined
        : { quota_definition_url: `/v2/quota_definitions/${quotaDefinitionGuid}` }),
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
  });
}
