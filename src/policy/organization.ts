/**
 * What a decision needs to know of an organization, and the directory that knows it (decisions.md, section 5).
 * Where records come from and how long they are kept: `directory/`, `redis/directory.ts`.
 */
import type { Result } from '../failure.ts';
import type { OrganizationEntity } from '../legacy/organization.ts';
import type { MaybePromise } from '../maybe-promise.ts';

export interface Organization extends OrganizationEntity {
  /** Legacy ids of the users who manage it. */
  readonly managers: ReadonlySet<string>;
  readonly backend: BackendOrganization;
}

/** Where the work for an organization is done. */
export interface BackendOrganization {
  /** The backend's own id of it: what the credential must prove to belong to. */
  readonly organizationId: string;
  /** Name of the credential in BACKEND_CREDENTIALS. */
  readonly credential: string;
}

/** The list of what has moved to the backend. It answers with a plain Result where nothing has to be waited for. */
export interface Directory {
  /** Fails with `organization-unknown`, or `unavailable` where nothing can be said. */
  findOrganization(guid: string): MaybePromise<Result<Organization>>;
  /** The backend's id (a lower-case UUID) for a legacy user id. Fails with `user-unknown` or `unavailable`. */
  findBackendUser(legacyUser: string): MaybePromise<Result<string>>;
}
