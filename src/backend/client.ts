/**
 * Takes a member out of an organization of the backend: token, whose organization it is for, DELETE, and where the
 * answer leaves it open, the member list. What an answer means is `failures.ts`'s to say; how a call gets there and is
 * repeated, `host.ts`'s. Knows nothing of the legacy contract.
 */
import type { Failure, Result } from '../failure.ts';
import type { Scope } from '../scope.ts';
import { type AccessToken, AccessTokens, type AccessTokensOptions } from './access-tokens.ts';
import { Deadline } from './deadline.ts';
import { decideRemoval, type Verdict } from './failures.ts';
import {
  type BackendCall,
  BackendHost,
  type BackendHostOptions,
  type Progress,
  type Sent,
  startProgress,
} from './host.ts';
import { findMember } from './member-list.ts';
import { OrganizationCheck, type TokenOrganization } from './organization-check.ts';
import { toTraceparent } from './traceparent.ts';
import { unavailable } from './unavailable.ts';

export interface Removal {
  readonly organizationId: string;
  readonly credential: string;
  /** The backend's user id, a lower-case UUID. */
  readonly userId: string;
  /** A UUID. Sent as X-Request-Id. */
  readonly requestId: string;
  readonly traceparent: string | undefined;
}

/** How a removal ended, in the words of decisions.md, section 6. */
export type RemovalOutcome = RemovalTrace &
  (
    | { readonly outcome: 'removed' }
    | { readonly outcome: 'not_a_member' }
    /** `unknown`: nobody can say whether the user is gone, be it by an earlier try than the one that was answered. */
    | ({ readonly outcome: 'refused' | 'unknown' } & Refusal)
  );

type Refusal =
  | { readonly reason: 'user-id-invalid' | 'request-invalid' | 'credential-refused' | 'forbidden' }
  | { readonly reason: 'rate-limited'; readonly retryAfterSeconds: number }
  | { readonly reason: 'unavailable'; readonly detail: string };

export interface RemovalTrace {
  /** Status of the last answer to a DELETE; undefined where none came. */
  readonly backendStatus: number | undefined;
  readonly backendRequestId: string | undefined;
  /** DELETEs sent, or tried to send. */
  readonly tries: number;
}

export interface BackendOptions extends BackendHostOptions, AccessTokensOptions {
  /** BACKEND_TIMEOUT_MS: for everything one removal asks of the backend. */
  readonly timeoutMs: number;
}

export interface Backend {
  /** Never rejects. Sends nothing before the credential has proved to be that organization's. */
  removeMember(removal: Removal, scope: Scope): Promise<RemovalOutcome>;
  /** The id of the organization that a credential is for, found as a removal finds it. Fails with `unavailable`. */
  askOrganization(credential: string, scope: Scope): Promise<Result<string>>;
  status(): { readonly breaker: BackendHost['breaker']; readonly inFlight: number };
}

/** Error bodies, and those of a 200. */
const MOST_BYTES = 65_536;

/** What the audit trail keeps of the backend's id of a call. */
const REQUEST_ID_MOST_LENGTH = 255;

const UUID = /^[\da-f]{8}(?:-[\da-f]{4}){3}-[\da-f]{12}$/i;

export function createBackend(options: BackendOptions): Backend {
  const { timeoutMs, monotonicMs, nowMs, log } = options;
  const host = new BackendHost(options);
  const tokens = new AccessTokens(options);
  const organizations = new OrganizationCheck({ host, timeoutMs, monotonicMs });

  const startCall = (scope: Scope, requestId: string, traceparent?: string): BackendCall => ({
    scope,
    deadline: new Deadline(timeoutMs, monotonicMs),
    requestId,
    traceparent: toTraceparent(traceparent, requestId),
  });

  async function removeMember(removal: Removal, scope: Scope): Promise<RemovalOutcome> {
    const progress = startProgress();
    try {
      const call = startCall(scope, removal.requestId, removal.traceparent);
      return toOutcome(await remove(removal, call, progress), progress);
    } catch (error) {
      // No transport throws this way; and what a bug left behind, nobody can say.
      const stack = error instanceof Error ? error.stack : String(error);
      log.error('a removal broke off', { request_id: removal.requestId, stack });
      progress.mayHaveRun = progress.tries > 0;
      return toOutcome({ kind: 'unavailable', detail: 'a bug of this program' }, progress);
    }
  }

  async function remove(removal: Removal, call: BackendCall, progress: Progress): Promise<Conclusion> {
    const { credential, userId } = removal;
    // The directory maps to UUIDs only; anything else must not become part of a URL.
    if (!UUID.test(userId)) return { kind: 'refused', reason: 'user-id-invalid' };
    const path = `/organization/members/${userId}`;
    // Usually the token is known at once, and whose it is: nothing is waited for then.
    let token = tokens.find(credential, call.scope) ?? (await loadToken(credential, call));
    for (let isRefreshed = false; token.ok; isRefreshed = true) {
      const owner = organizations.find(token.value) ?? (await loadOrganization(token.value, call));
      const { authorization } = token.value;
      const request = { method: 'DELETE', path, authorization, maxBytes: MOST_BYTES } as const;
      const verdict = refuseOwner(owner, removal) ?? toVerdict(await host.send(request, call, progress), userId);
      if (verdict.kind === 'missing') return explainMissing(removal, token.value, call, progress);
      if (verdict.kind !== 'credential-refused' || isRefreshed) return verdict;
      const next = await call.deadline.race(tokens.replace(credential, token.value, call.scope));
      if (!next?.ok) return verdict;
      token = next;
    }
    return { kind: 'unavailable', detail: toDetail(token.failure) };
  }

  /** Why a token must not be sent; undefined where it is that organization's own. */
  function refuseOwner(
    owner: TokenOrganization,
    { organizationId, credential }: Removal,
  ): Verdict | Unavailable | undefined {
    if (owner === 'token-refused') return { kind: 'credential-refused' };
    if (!owner.ok) return { kind: 'unavailable', detail: toDetail(owner.failure) };
    if (owner.value === organizationId) return undefined;
    const detail = 'the credential is for another organization than the directory says';
    log.error(detail, { credential, expected: organizationId, found: owner.value });
    return { kind: 'unavailable', detail };
  }

  function toVerdict(sent: Sent, userId: string): Verdict | Unavailable {
    if (sent.kind === 'answer') return decideRemoval(sent.answer, userId, nowMs());
    if (sent.kind === 'lost') return { kind: 'unknown', detail: `no answer: ${sent.code}` };
    return { kind: 'unavailable', detail: sent.detail };
  }

  /** A 404 of the backend's own: the work of our earlier try; or the user was never there; or not to be believed. */
  async function explainMissing(
    { userId }: Removal,
    token: AccessToken,
    call: BackendCall,
    progress: Progress,
  ): Promise<Conclusion> {
    const membership = await findMember(host, token.authorization, userId.toLowerCase(), call);
    // Only a list that can be read shows that it is the backend who speaks: a gateway that starts up sends 404 in much
    // the same shape. Still listed means nothing then: the list lags behind (backend.md, section 5).
    if (progress.isAnswerLost && membership !== 'unreadable') return { kind: 'removed' };
    if (membership === 'absent') return { kind: 'not-a-member' };
    return { kind: 'unknown', detail: `answered 404, and the member list is no proof of it: ${membership}` };
  }

  async function loadToken(credential: string, { scope, deadline }: BackendCall): Promise<Result<AccessToken>> {
    const loaded = await deadline.race(tokens.load(credential, scope));
    return loaded ?? unavailable('no access token came before the deadline');
  }

  async function loadOrganization(token: AccessToken, call: BackendCall): Promise<TokenOrganization> {
    const loaded = await call.deadline.race(organizations.load(token, call));
    return (
      loaded ?? unavailable('the backend did not say before the deadline whose organization the credential is for')
    );
  }

  return {
    removeMember,
    async askOrganization(credential, scope) {
      const call = startCall(scope, crypto.randomUUID());
      const token = tokens.find(credential, scope) ?? (await loadToken(credential, call));
      if (!token.ok) return token;
      const found = organizations.find(token.value) ?? (await loadOrganization(token.value, call));
      return found === 'token-refused' ? unavailable('the backend refuses the credential') : found;
    },
    status: () => ({ breaker: host.breaker, inFlight: host.inFlight }),
  };
}

interface Unavailable {
  readonly kind: 'unavailable';
  readonly detail: string;
}

/** A verdict; or what the member list says; or that no call left, or none that could tell. */
type Conclusion = Exclude<Verdict, { kind: 'missing' }> | { readonly kind: 'not-a-member' } | Unavailable;

function toOutcome(conclusion: Conclusion, progress: Progress): RemovalOutcome {
  const trace: RemovalTrace = {
    backendStatus: progress.lastAnswer?.status,
    backendRequestId: progress.lastAnswer?.header('X-Request-Id')?.slice(0, REQUEST_ID_MOST_LENGTH),
    tries: progress.tries,
  };
  const outcome = progress.mayHaveRun ? 'unknown' : 'refused';
  switch (conclusion.kind) {
    case 'removed':
      return { ...trace, outcome: 'removed' };
    case 'not-a-member':
      return { ...trace, outcome: 'not_a_member' };
    case 'refused':
      return { ...trace, outcome, reason: conclusion.reason };
    case 'credential-refused':
      return { ...trace, outcome, reason: 'credential-refused' };
    case 'rate-limited':
      return { ...trace, outcome, reason: 'rate-limited', retryAfterSeconds: conclusion.retryAfterSeconds };
    case 'unknown':
      return { ...trace, outcome: 'unknown', reason: 'unavailable', detail: conclusion.detail };
    case 'unavailable':
      return { ...trace, outcome, reason: 'unavailable', detail: conclusion.detail };
  }
}

function toDetail(failure: Failure): string {
  return failure.kind === 'unavailable' ? failure.reason : failure.kind;
}
