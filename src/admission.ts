/** Steps 4 to 6: who is calling, in what shape they are answered, and whether their quota lets them in. The order: `pipeline.ts`. */
import { type Call, toRateLimited } from './call.ts';
import { fail, type Result } from './failure.ts';
import { type ClientRule, chooseShape, type Profile } from './legacy/profiles.ts';
import { type MaybePromise, whenKnown } from './maybe-promise.ts';
import type { Caller } from './policy/authenticate.ts';
import { toLimitAddress } from './policy/client-address.ts';
import type { TakeQuota, Verdict } from './policy/rate-limit.ts';

/** What admission needs of the services. */
export interface Admitting {
  /** LEGACY_PROFILE: access rules, and the shape of answers where no client rule says otherwise. */
  readonly profile: Profile;
  readonly clientRules: readonly ClientRule[];
  readonly takeQuota: TakeQuota;
}

/** Who is calling, for the record; and what shape of answer they get. Without a token only the User-Agent decides it. */
export function identify(token: Result<Caller> | undefined, call: Call, services: Admitting): Profile {
  const caller = token?.ok ? token.value : undefined;
  const userAgent = call.request.headers.get('user-agent') ?? '';
  const profile = chooseShape(services.clientRules, services.profile.name, { userAgent, clientId: caller?.clientId });
  call.record.caller = caller?.id;
  call.record.clientId = caller?.clientId;
  call.record.profile = profile.name;
  return profile;
}

interface Admission {
  readonly result: Result<Caller>;
  readonly verdict: Verdict | undefined;
}

/** The limit first, then what was wrong with the token; but a bad token is never told of a limit. */
export function admit(token: Result<Caller>, call: Call, services: Admitting): MaybePromise<Admission> {
  const [subject, key] = token.ok
    ? (['caller', token.value.id] as const)
    : (['address', toLimitAddress(call.ip)] as const);
  if (token.ok && isExempt(token.value)) return { result: token, verdict: undefined };
  return whenKnown(services.takeQuota(subject, key), (taken) => {
    if (!taken.ok) return { result: taken, verdict: undefined };
    const verdict = taken.value;
    if (verdict?.isAllowed !== false) return { result: token, verdict };
    const isLimitSaid = token.ok || token.failure.kind === 'token-missing';
    return { result: isLimitSaid ? fail(toRateLimited(subject, verdict)) : token, verdict };
  });
}

const EXEMPT_SCOPE = 'cloud_controller.v2_api_rate_limit_exempt';

/** Whether no quota counts this caller: neither its own nor an organization's. */
export function isExempt(caller: Caller): boolean {
  return caller.scopes.has(EXEMPT_SCOPE);
}
