/** What the sandbox backend does with an organization and its members, in memory. HTTP, tokens and error bodies: `backend.ts`. */
import { type Problem, toForbidden, toInvalidInput, toNotFound } from './problem.ts';

export interface SandboxOrganization {
  readonly id: string;
  readonly name: string;
  /** Key ID and secret of its only API key. */
  readonly clientId: string;
  readonly clientSecret: string;
  /** What tokens for that key may do. */
  readonly scopes: readonly SandboxScope[];
  readonly members: readonly SandboxMember[];
}

export type SandboxScope = 'read:org' | 'update:org';

export interface SandboxMember {
  /** A UUID in lower case. */
  readonly id: string;
  readonly email: string;
  readonly createdAt: string;
  readonly firstName: string;
  readonly lastName: string;
  /** An owner cannot be removed through the API. */
  readonly role: 'OrgAdmin' | 'OrgOwner';
}

/** A success, with its body where it has one, or a problem. */
export type Answer = { readonly status: 200 | 204; readonly json?: object } | { readonly problem: Problem };

const PAGE_SIZE_DEFAULT = 10;
const PAGE_SIZE_MAX = 100;
const UUID = /^[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}$/i;

/** `GET /organization` */
export function showOrganization({ id, name }: SandboxOrganization): Answer {
  return { status: 200, json: { id, name, billingId: '', billingPlan: 'BILLING_PLAN_ENTERPRISE', entitlements: [] } };
}

/** `GET /organization/members?limit=&offset=` */
export function listMembers({ members }: SandboxOrganization, query: URLSearchParams): Answer {
  const limit = parseCount(query.get('limit')) ?? PAGE_SIZE_DEFAULT;
  const offset = parseCount(query.get('offset')) ?? 0;
  if (!(limit >= 1 && limit <= PAGE_SIZE_MAX)) {
    return { problem: toInvalidInput('limit', `limit must be a number from 1 to ${PAGE_SIZE_MAX}.`) };
  }
  if (!(offset >= 0)) return { problem: toInvalidInput('offset', 'offset must be a number.') };
  const page = members.slice(offset, offset + limit);
  return {
    status: 200,
    json: { count: page.length, meta: { total: members.length, limit, offset }, members: page },
  };
}

/** `DELETE /organization/members/{userId}`; a success comes with what is left of the organization. */
export function removeMember(
  organization: SandboxOrganization,
  userId: string,
): { answer: Answer; left?: SandboxOrganization } {
  if (!UUID.test(userId)) return { answer: { problem: toInvalidInput('userId', 'userId has the wrong format.') } };
  const member = organization.members.find(({ id }) => id === userId.toLowerCase());
  // Undocumented there; assumed.
  if (!member) return { answer: { problem: toNotFound('That user is not a member.', 'user', userId) } };
  if (member.role === 'OrgOwner') return { answer: { problem: toForbidden('An owner cannot be removed.') } };
  const members = organization.members.filter((other) => other !== member);
  return { answer: { status: 204 }, left: { ...organization, members } };
}

/** `undefined` where the parameter is absent, `NaN` where it is no whole number. */
function parseCount(text: string | null): number | undefined {
  if (text === null) return undefined;
  return /^\d{1,9}$/.test(text) ? Number(text) : Number.NaN;
}
