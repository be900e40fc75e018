/** `DELETE /v2/organizations/:guid/users/:user_guid`: Remove User from the Organization (legacy-page.txt; legacy.md, sections 1 to 3). */
import { succeed } from '../failure.ts';
import type { Operation } from './operation.ts';
import { toOrganizationBody } from './organization.ts';
import { checkInlineRelationsDepth } from './query.ts';

export const removeOrgUser: Operation = {
  name: 'remove-org-user',
  method: 'DELETE',
  path: '/v2/organizations/:organization/users/:user',
  access: { always: ['cloud_controller.admin'], scope: 'cloud_controller.write', onlyWhileActive: true },
  effect: 'remove-member',
  // The 204 eras show no body, so nothing that would have been inlined is missed.
  checkQuery: (query, shape) =>
    shape.removalAnswers === 'empty' ? succeed(undefined) : checkInlineRelationsDepth(query),
  toAnswer: (organization, shape) =>
    shape.removalAnswers === 'empty'
      ? { status: 204, body: null }
      : { status: 201, body: toOrganizationBody(organization, shape) },
};
