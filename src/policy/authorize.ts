/** Who may: decided by scopes, the organization's managers and the access rules, and by nothing a client can choose (decisions.md, section 4). */
import { fail, type Result, succeed } from '../failure.ts';
import type { AccessRules } from '../legacy/era.ts';
import type { Access, Operation } from '../legacy/operation.ts';
import type { Caller } from './authenticate.ts';
import type { Organization } from './organization.ts';

export interface Subject {
  readonly organization: Organization;
  /** The legacy id of the user to remove; undefined where the operation removes nobody. */
  readonly user: string | undefined;
}

/** First the scope, then the access: the legacy order. Fails with `scope-missing` or `access-denied`. */
export function authorize(
  caller: Caller,
  operation: Pick<Operation, 'access' | 'effect'>,
  subject: Subject,
  rules: AccessRules,
): Result<void> {
  const { access } = operation;
  if (isAlwaysAllowed(caller, access)) return succeed(undefined);
  if (!caller.scopes.has(access.scope)) return fail({ kind: 'scope-missing', scope: access.scope });
  const { organization, user } = subject;
  const removesSelf = operation.effect === 'remove-member' && user === caller.id;
  if (rules.mayRemoveSelf && removesSelf) return succeed(undefined);
  if (!organization.managers.has(caller.id)) return fail({ kind: 'access-denied', reason: 'not-a-manager' });
  if (access.onlyWhileActive && organization.status !== 'active') {
    return fail({ kind: 'access-denied', reason: 'organization-not-active' });
  }
  return succeed(undefined);
}

/**
 * The one manager whom this caller may not remove, by legacy id: since July 2016 the last manager stays, unless an
 * admin asks. Undefined where nobody is so protected.
 */
export function findProtectedManager(
  caller: Caller,
  operation: Pick<Operation, 'access'>,
  { managers }: Organization,
  rules: AccessRules,
): string | undefined {
  if (!rules.keepsLastManager || managers.size !== 1 || isAlwaysAllowed(caller, operation.access)) return undefined;
  return [...managers][0];
}

function isAlwaysAllowed(caller: Caller, access: Access): boolean {
  return access.always.some((scope) => caller.scopes.has(scope));
}
