/** Which backend user a legacy user id means: the one rule for every source of the directory (decisions.md, section 5). */
export type UnmappedUsers = 'refuse' | 'same';

export interface UserFacts {
  readonly legacyUser: string;
  /** The backend id that the directory maps `legacyUser` to. */
  readonly mapped: string | undefined;
  readonly unmappedUsers: UnmappedUsers;
  /** Whether `toReservedIds` has `legacyUser` in lower case. */
  readonly isReserved: boolean;
}

/** The backend's id, a lower-case UUID; undefined where the user is unknown. */
export function decideBackendUser({ legacyUser, mapped, unmappedUsers, isReserved }: UserFacts): string | undefined {
  if (mapped !== undefined) return mapped;
  if (unmappedUsers === 'refuse' || isReserved || !isUuid(legacyUser)) return undefined;
  return legacyUser.toLowerCase();
}

/**
 * The ids in lower case that are never taken over as they are: each is, or may be, spoken for by a mapping. Its value,
 * since the user is known by another legacy id; its key in another spelling, since that user has another backend id.
 */
export function toReservedIds(users: ReadonlyMap<string, string>): Set<string> {
  const reserved = new Set<string>();
  for (const [legacyUser, backendUser] of users) {
    reserved.add(backendUser);
    if (isUuid(legacyUser)) reserved.add(legacyUser.toLowerCase());
  }
  return reserved;
}

/** The backend's id of a legacy user, a lower-case UUID; undefined where the user is unknown. */
export type FindBackendUser = (legacyUser: string) => string | undefined;

/** The rule over all users of one directory. `reserved`: `toReservedIds(users)`. */
export function createFindBackendUser(
  users: ReadonlyMap<string, string>,
  reserved: ReadonlySet<string>,
  unmappedUsers: UnmappedUsers,
): FindBackendUser {
  return (legacyUser) => {
    const isReserved = reserved.has(legacyUser.toLowerCase());
    return decideBackendUser({ legacyUser, mapped: users.get(legacyUser), unmappedUsers, isReserved });
  };
}

const UUID = /^[\da-f]{8}(?:-[\da-f]{4}){3}-[\da-f]{12}$/i;

export function isUuid(text: string): boolean {
  return UUID.test(text);
}
