/**
 * Where records come from, as the cache sees it. Implementations: `file.ts` (Node), `redis/directory.ts`; one suite for
 * both: test/ports/directory.test.ts.
 */
import type { Organization } from '../policy/organization.ts';
import type { Scope } from '../scope.ts';
import type { FindBackendUser } from './users.ts';

/** Every method rejects with a `DirectoryUnavailable`, and with nothing else. Each call ends by itself, in time. */
export interface DirectorySource {
  organization(guid: string, scope: Scope): Promise<Found<Organization>>;
  /** The backend's id of a user, as `users.ts` decides. */
  backendUser(legacyUser: string, scope: Scope): Promise<Found<string>>;
  /** The same for all users at once, where the source can give them so; else they are to be asked for one by one. */
  allUsers(scope: Scope): Promise<Found<FindBackendUser | 'one-by-one'>>;
  /** Whether the source, when it was last asked, had more users than `allUsers` gives. */
  mapsTooMany(): boolean;
  describe(scope: Scope): Promise<DirectoryDescription>;
  /** Version of the directory when the source was last asked, or of the file now; undefined before the first answer. */
  version(): string | undefined;
}

export interface Found<Value> {
  /** `undefined`: the directory is there, and does not have it. */
  readonly value: Value | undefined;
  /** Of the directory that said so. */
  readonly version: string;
}

export interface DirectoryDescription {
  readonly version: string;
  readonly organizations: number;
  readonly users: number;
}

/** Nothing can be said, neither "here it is" nor "there is none". The message is for the log. */
export class DirectoryUnavailable extends Error {
  override readonly name = 'DirectoryUnavailable';
  /** `entry`: only what was asked for is unusable; the source itself answers. */
  readonly extent: 'source' | 'entry';

  constructor(extent: DirectoryUnavailable['extent'], reason: string) {
    super(reason);
    this.extent = extent;
  }
}
