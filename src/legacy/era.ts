/** What can differ between two eras of the legacy contract, and what one such difference is. The line of eras: `profiles.ts`. */

/** What answers look like. A client's own profile decides it. */
export interface Shape {
  /** What a removal answers: 201 with the organization, or 204 with nothing. */
  readonly removalAnswers: 'organization' | 'empty';
  readonly toTimestamp: (epochSeconds: number) => string;
  readonly errorKeys: readonly ErrorKey[];
  /** The handler of unknown exceptions had an order of its own. */
  readonly unknownErrorKeys: readonly ErrorKey[];
  readonly toInvalidRelation: (text: string) => string;
}

/** Who may do what. LEGACY_PROFILE alone decides it, never a header of the request. */
export interface AccessRules {
  readonly mayRemoveSelf: boolean;
  /** Callers who are not admins cannot remove the last manager. */
  readonly keepsLastManager: boolean;
}

export interface Era {
  readonly shape: Shape;
  readonly access: AccessRules;
}

type ErrorKey = 'code' | 'description' | 'error_code';

/** One difference between two eras. */
export interface Change {
  readonly date: string;
  /** The release that brought it, and the commit. */
  readonly source: string;
  /** What changed for clients, and why anybody should care. */
  readonly reason: string;
  readonly apply: (before: Era) => Era;
}

/** `2014-11-24T19:32:37`, in UTC. */
export function toIsoSeconds(epochSeconds: number): string {
  return new Date(epochSeconds * 1000).toISOString().slice(0, 19);
}
