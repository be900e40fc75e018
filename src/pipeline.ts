/**
 * THE ORDER of steps (decisions.md, section 1), as code you can read from top to bottom. Steps 1 to 3 are `app.ts`'s.
 * A step returns a Result; the first failure is the answer, by way of `legacy/errors.ts`.
 */
import { type Admitting, admit, identify, isExempt } from './admission.ts';
import type { Removal, RemovalOutcome } from './backend/client.ts';
import { type Call, type Reply, toRateLimited, toRateLimitHeaders, toRefusal } from './call.ts';
import { type Failure, fail, type Result, succeed } from './failure.ts';
import type { Shape } from './legacy/era.ts';
import type { Operation } from './legacy/operation.ts';
import { type MaybePromise, whenKnown } from './maybe-promise.ts';
import type { Authenticate, Caller } from './policy/authenticate.ts';
import { authorize, findProtectedManager } from './policy/authorize.ts';
import type { Directory, Organization } from './policy/organization.ts';
import type { Verdict } from './policy/rate-limit.ts';

/** What the pipeline needs of the world; the same type on both runtimes. `services.ts` builds it. */
export interface Services extends Admitting {
  readonly authenticate: Authenticate;
  readonly directory: Directory;
  /** Never rejects. */
  readonly removeMember: (removal: Removal) => Promise<RemovalOutcome>;
  readonly audit: Audit;
  /** Hands the call to the old server as it came; undefined without LEGACY_ORIGIN_URL. */
  readonly origin: ((call: Call) => Promise<Result<Response>>) | undefined;
  /** As `Scope.waitUntil`. */
  readonly waitUntil: (work: Promise<unknown>) => void;
}

/** Two lines for each removal, and nothing else (decisions.md, section 8). */
export interface Audit {
  /** Has written the intent when it resolves, with what writes the outcome. Rejects where it cannot: then nothing is removed. */
  intent(entry: AuditEntry): Promise<WriteOutcome>;
}

/** Has written the line when it resolves. Never rejects. */
export type WriteOutcome = (outcome: RemovalOutcome) => Promise<void>;

export interface AuditEntry {
  readonly requestId: string;
  readonly caller: string;
  readonly clientId: string | undefined;
  readonly organization: string;
  readonly user: string;
  readonly backendUser: string;
  readonly ip: string;
}

/** Steps 4 to 17 for an adapted operation. `parameters` holds the path's `organization` and, if it has one, `user`. */
export async function runOperation(
  operation: Operation,
  parameters: ReadonlyMap<string, string>,
  call: Call,
  services: Services,
): Promise<Reply> {
  const { record } = call;
  const guid = parameters.get('organization') as string;
  const user = parameters.get('user');
  record.operation = operation.name;
  record.organization = guid;

  // 4. The token is verified first and reported after the limit.
  const authenticated = services.authenticate(call.request.headers.get('authorization') ?? undefined);
  const token = authenticated instanceof Promise ? await authenticated : authenticated;
  record.step('authenticate');
  const { shape } = identify(token, call, services);
  const refuse = (failure: Failure, verdict?: Verdict) => toRefusal(failure, shape, call, verdict);

  // 5. and 6. The caller's limit, or the address's where no token verified.
  const admitting = admit(token, call, services);
  const admitted = admitting instanceof Promise ? await admitting : admitting;
  record.step('limit');
  if (!admitted.result.ok) return refuse(admitted.result.failure, admitted.verdict);
  const caller = admitted.result.value;
  let { verdict } = admitted;

  // 7. The query, before anything is looked up.
  const query = operation.checkQuery(call.query, shape);
  if (!query.ok) return refuse(query.failure, verdict);

  // 8. The organization. One that is not in the directory has not moved: the origin still has it.
  const looked = services.directory.findOrganization(guid);
  const found = looked instanceof Promise ? await looked : looked;
  record.step('directory');
  if (!found.ok) {
    const hasMoved = found.failure.kind !== 'organization-unknown' || (await mayHaveMoved(guid, services));
    if (hasMoved || !services.origin) return refuse(found.failure, verdict);
    return passOn(call, services.origin, shape, verdict);
  }
  const organization = found.value;

  // 9. and 10. Scope, then access.
  const allowed = authorize(caller, operation, { organization, user }, services.profile.access);
  if (!allowed.ok) return refuse(allowed.failure, verdict);

  // 11. The user, and since 2016 whether the last manager would go.
  let removal: Removal | undefined;
  if (operation.effect === 'remove-member') {
    const preparing = prepareRemoval(operation, caller, organization, user as string, call, services);
    const prepared = preparing instanceof Promise ? await preparing : preparing;
    record.step('directory');
    if (!prepared.ok) return refuse(prepared.failure, verdict);
    removal = prepared.value;
  }

  // 12. The organization's limit.
  if (!isExempt(caller)) {
    const taking = services.takeQuota('organization', guid);
    const taken = taking instanceof Promise ? await taking : taking;
    record.step('limit');
    if (!taken.ok) return refuse(taken.failure, verdict);
    if (taken.value && !taken.value.isAllowed) return refuse(toRateLimited('organization', taken.value), taken.value);
    verdict ??= taken.value;
  }

  // 13. The success answer, while failing is still harmless.
  const success = { answer: operation.toAnswer(organization, shape), headers: toRateLimitHeaders(verdict) };
  if (removal === undefined) return success;

  // 14. to 16. Intent, backend, outcome: from here on nothing depends on the client's connection.
  const entry: AuditEntry = {
    requestId: call.requestId,
    caller: caller.id,
    clientId: caller.clientId,
    organization: guid,
    user: user as string,
    backendUser: removal.userId,
    ip: call.ip,
  };
  const removed = removeOnRecord(removal, entry, services);
  services.waitUntil(removed);
  const outcome = await removed;
  record.step('backend');
  record.removal = outcome;

  // 17. The answer.
  const failure = toFailure(outcome, user as string);
  return failure === undefined ? success : refuse(failure, verdict);
}

/** Rejects where the intent could not be written. */
async function removeOnRecord(
  removal: Removal,
  entry: AuditEntry,
  { audit, removeMember }: Services,
): Promise<RemovalOutcome> {
  const writeOutcome = await audit.intent(entry);
  const outcome = await removeMember(removal);
  await writeOutcome(outcome);
  return outcome;
}

/** Steps 4 and 5 for a call that is not adapted; then the origin. `isUncounted`: neither its token nor any quota is looked at. */
export async function runPassthrough(
  call: Call,
  services: Services,
  origin: NonNullable<Services['origin']>,
  isUncounted: boolean,
): Promise<Reply> {
  call.record.operation = 'passthrough';
  const authorization = call.request.headers.get('authorization') ?? undefined;
  // Basic is how clients speak to the token endpoint: the origin's business, and exempt as it was there.
  if (isUncounted || /^basic /i.test(authorization ?? '')) {
    return passOn(call, origin, identify(undefined, call, services).shape, undefined);
  }
  const token = await services.authenticate(authorization);
  call.record.step('authenticate');
  const { shape } = identify(token, call, services);
  const { result, verdict } = await admit(token, call, services);
  call.record.step('limit');
  // What a token is worth there, even one that nothing can be said of here, only the origin can tell.
  const isOver = verdict?.isAllowed === false;
  if (!result.ok && (isOver || result !== token)) return toRefusal(result.failure, shape, call, verdict);
  return passOn(call, origin, shape, verdict);
}

function prepareRemoval(
  operation: Operation,
  caller: Caller,
  organization: Organization,
  user: string,
  call: Call,
  services: Services,
): MaybePromise<Result<Removal>> {
  const { directory, profile } = services;
  return whenKnown(directory.findBackendUser(user), (backendUser) => {
    if (!backendUser.ok) return backendUser;
    const { organizationId, credential } = organization.backend;
    const removal = succeed({
      organizationId,
      credential,
      userId: backendUser.value,
      requestId: call.uuid,
      traceparent: call.request.headers.get('traceparent') ?? undefined,
    });
    const manager = findProtectedManager(caller, operation, organization, profile.access);
    if (manager === undefined) return removal;
    // By the backend's ids: two legacy ids, or two spellings of one, may be the same person there.
    return whenKnown(directory.findBackendUser(manager), (protectedUser) => {
      if (!protectedUser.ok && protectedUser.failure.kind === 'unavailable') return protectedUser;
      const isProtected = protectedUser.ok && protectedUser.value === backendUser.value;
      return isProtected ? fail({ kind: 'last-manager' }) : removal;
    });
  });
}

/** What a removal's end means to the client (decisions.md, section 6); undefined where it is a success. */
function toFailure(outcome: RemovalOutcome, user: string): Failure | undefined {
  if (outcome.outcome === 'removed' || outcome.outcome === 'not_a_member') return undefined;
  switch (outcome.reason) {
    case 'user-id-invalid':
      return { kind: 'user-unknown', user };
    case 'request-invalid':
      return { kind: 'backend-rejected-request' };
    case 'forbidden':
      return { kind: 'backend-forbidden' };
    case 'rate-limited':
      return { kind: 'backend-rate-limited', retryAfterSeconds: outcome.retryAfterSeconds };
    case 'credential-refused':
      return { kind: 'unavailable', dependency: 'backend', reason: 'the backend refused the credential' };
    case 'unavailable':
      return { kind: 'unavailable', dependency: 'backend', reason: outcome.detail };
  }
}

/**
 * Whether an origin on MySQL, which compares without case, accents and trailing spaces, might read `guid` as that of an
 * organization that has moved, and remove from its stale copy.
 */
async function mayHaveMoved(guid: string, { directory, origin }: Services): Promise<boolean> {
  if (origin === undefined) return false;
  if (!PLAIN.test(guid)) return true;
  const lowered = guid.toLowerCase();
  if (lowered === guid) return false;
  const found = await directory.findOrganization(lowered);
  return found.ok || found.failure.kind !== 'organization-unknown';
}

/** Printable ASCII without a space: what guids are made of. */
const PLAIN = /^[!-~]+$/;

async function passOn(
  call: Call,
  origin: NonNullable<Services['origin']>,
  shape: Shape,
  verdict: Verdict | undefined,
): Promise<Reply> {
  call.record.isPassedOn = true;
  const passed = await origin(call);
  call.record.step('origin');
  return passed.ok ? { passed: passed.value } : toRefusal(passed.failure, shape, call, verdict);
}
