/**
 * Which era of the legacy contract a client sees. A profile is a point on a line of small dated changes (`changes/`):
 * the `2014-12` base below, with every change up to the profile's date stacked on it. To add an era, add one file in
 * `changes/` and one line in PROFILES.
 */
import { errorKeysReordered } from './changes/error-keys-reordered.ts';
import { relationTextBare } from './changes/relation-text-bare.ts';
import { removalAnswersEmpty } from './changes/removal-answers-empty.ts';
import { removalGuardsManagers } from './changes/removal-guards-managers.ts';
import { timestampsInZulu } from './changes/timestamps-in-zulu.ts';
import { type Change, type Era, toIsoSeconds } from './era.ts';

/** cf-release v194, CC API 2.18.0: the server of the page. */
const BASE: Era = {
  shape: {
    removalAnswers: 'organization',
    toTimestamp: (epochSeconds) => `${toIsoSeconds(epochSeconds)}+00:00`,
    errorKeys: ['code', 'description', 'error_code'],
    unknownErrorKeys: ['error_code', 'description', 'code'],
    toInvalidRelation: (text) => `Invalid relation: ${text}`,
  },
  access: { mayRemoveSelf: false, keepsLastManager: false },
};

const PROFILES = {
  '2014-12': [],
  '2015-01': [timestampsInZulu],
  '2015-11': [removalAnswersEmpty],
  '2017-03': [removalGuardsManagers, errorKeysReordered, relationTextBare],
} as const satisfies Record<string, readonly Change[]>;

export type ProfileName = keyof typeof PROFILES;

export const PROFILE_NAMES = Object.keys(PROFILES) as ProfileName[];

export interface Profile extends Era {
  readonly name: ProfileName;
}

const ERAS = new Map<ProfileName, Profile>();
{
  let era = BASE;
  for (const name of PROFILE_NAMES) {
    era = PROFILES[name].reduce((before: Era, change: Change) => change.apply(before), era);
    ERAS.set(name, { name, ...era });
  }
}

export function profileOf(name: ProfileName): Profile {
  return ERAS.get(name) as Profile;
}

/** One rule of LEGACY_PROFILE_BY_CLIENT. */
export type ClientRule =
  | { readonly userAgentPrefix: string; readonly profile: ProfileName }
  | { readonly clientId: string; readonly profile: ProfileName };

/** A 201 with a body makes this client fail after the removal has happened (legacy.md, section 7). */
const BUILT_IN_RULES: readonly ClientRule[] = [{ userAgentPrefix: 'CloudFoundryJavaClient/', profile: '2017-03' }];

/**
 * The shape of this client's answers: the operator's first matching rule, then the built-in ones, then the default.
 * `clientId` is known only once a token was verified.
 */
export function chooseShape(
  rules: readonly ClientRule[],
  fallback: ProfileName,
  client: { readonly userAgent: string; readonly clientId: string | undefined },
): Profile {
  for (const list of [rules, BUILT_IN_RULES]) {
    for (const rule of list) {
      const matches =
        'clientId' in rule ? rule.clientId === client.clientId : client.userAgent.startsWith(rule.userAgentPrefix);
      if (matches) return profileOf(rule.profile);
    }
  }
  return profileOf(fallback);
}
