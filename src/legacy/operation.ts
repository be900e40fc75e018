/**
 * What one legacy operation is. `pipeline.ts` runs the steps that all share; an operation says only what is its own.
 * To add one: a file like `remove-org-user.ts`, its name in the list of `app.ts`, a folder of fixtures.
 */
import type { Result } from '../failure.ts';
import type { Shape } from './era.ts';
import type { OrganizationEntity } from './organization.ts';

export interface Operation {
  /** As ADAPT, logs and metrics name it. */
  readonly name: string;
  readonly method: 'GET' | 'DELETE';
  /** Segments of the path; `:organization` and `:user` are its parameters. Matched exactly, after `route.ts`. */
  readonly path: `/v2/organizations/:organization${string}`;
  readonly access: Access;
  /** `remove-member`: takes `:user` out of `:organization` at the backend. `none`: answers from the directory alone. */
  readonly effect: 'remove-member' | 'none';
  checkQuery(query: URLSearchParams, shape: Shape): Result<void>;
  /** The success answer, rendered before the effect: nothing that can fail may follow it. */
  toAnswer(organization: OrganizationEntity, shape: Shape): Answer;
}

/** Whom an operation lets in; `policy/authorize.ts` decides by it. */
export interface Access {
  /** One of these scopes alone is enough. */
  readonly always: readonly string[];
  /** Everybody else needs this scope, and must manage the organization. */
  readonly scope: string;
  /** Whether a manager's right ends while the organization is suspended. */
  readonly onlyWhileActive: boolean;
}

export interface Answer {
  readonly status: number;
  /** `null`: no body at all. */
  readonly body: string | null;
}
