/** `GET /v2/organizations/:guid`: Retrieve a Particular Organization, answered from the directory (legacy.md, sections 2 and 8). */
import type { Operation } from './operation.ts';
import { toOrganizationBody } from './organization.ts';
import { checkInlineRelationsDepth } from './query.ts';

export const getOrganization: Operation = {
  name: 'get-organization',
  method: 'GET',
  path: '/v2/organizations/:organization',
  access: {
    always: ['cloud_controller.admin', 'cloud_controller.admin_read_only'],
    scope: 'cloud_controller.read',
    onlyWhileActive: false,
  },
  effect: 'none',
  checkQuery: checkInlineRelationsDepth,
  toAnswer: (organization, shape) => ({ status: 200, body: toOrganizationBody(organization, shape) }),
};
