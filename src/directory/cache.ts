/**
 * The directory as the pipeline asks it: a source (`source.ts`) read through bounded caches (`read-through.ts`). One
 * for each process or isolate; each scope asks through its own view.
 */
import { Breaker, type BreakerState } from '../breaker.ts';
import { fail, type Result, succeed } from '../failure.ts';
import { whenKnown } from '../maybe-promise.ts';
import type { Directory, Organization } from '../policy/organization.ts';
import type { Scope } from '../scope.ts';
import type { Log } from '../telemetry/log.ts';
import type { Meter } from '../telemetry/meter.ts';
import { ReadThrough, type SourceGate, toUnavailable } from './read-through.ts';
import type { DirectorySource } from './source.ts';
import type { FindBackendUser } from './users.ts';

export interface CachedDirectoryOptions {
  readonly source: DirectorySource;
  /** ORGANIZATION_CACHE_SECONDS: how old what is served may be while the source answers. */
  readonly cacheSeconds: number;
  readonly monotonicMs: () => number;
  readonly log: Log;
  readonly meter: Meter;
}

export interface CachedDirectory {
  forScope(scope: Scope): Directory;
  /** Asks the source for its version: ready, where it answers. For readiness, before any request has asked. Never rejects. */
  warmUp(scope: Scope): Promise<void>;
  status(): DirectoryStatus;
}

/** For `/readyz`. */
export interface DirectoryStatus {
  /** Whether the source has answered since the start. */
  readonly isLoaded: boolean;
  readonly version: string | undefined;
  /** Since the source last answered. */
  readonly ageSeconds: number | undefined;
  /** What the source failed with; undefined while it answers. */
  readonly failure: string | undefined;
}

export function createDirectory(options: CachedDirectoryOptions): CachedDirectory {
  const { source, cacheSeconds, monotonicMs, log, meter } = options;
  const gate = new LoggedGate(monotonicMs, log);
  const version = () => source.version();
  const common = { version, gate, monotonicMs, log, meter, ttlMs: cacheSeconds * 1000 };
  const organizations = new ReadThrough<Organization>({
    ...common,
    name: 'organizations',
    load: (guid, scope) => source.organization(guid, scope),
    toUnknown: (organization) => ({ kind: 'organization-unknown', organization }),
    maxEntries: MAX_ORGANIZATIONS,
    maxBytes: MAX_ORGANIZATION_BYTES,
    toBytes: (_guid, { managers }) => ORGANIZATION_BYTES + managers.size * MANAGER_BYTES,
  });
  const toUnknown = (user: string) => ({ kind: 'user-unknown', user }) as const;
  const users = new ReadThrough<string>({
    ...common,
    name: 'users',
    load: (legacyUser, scope) => source.backendUser(legacyUser, scope),
    toUnknown,
    maxEntries: MAX_USERS,
    maxBytes: MAX_USER_BYTES,
    toBytes: (legacyUser) => USER_BYTES + legacyUser.length,
  });
  // A user is removed once, so that a look-up of each would be a round trip for each removal.
  const allUsers = new ReadThrough<FindBackendUser | 'one-by-one'>({
    ...common,
    name: 'users',
    load: (_all, scope) => source.allUsers(scope),
    toUnknown,
    maxEntries: 1,
    maxBytes: MAX_USER_BYTES,
    toBytes: () => 1,
  });
  const findBackendUser = (legacyUser: string, scope: Scope): ReturnType<Directory['findBackendUser']> => {
    if (source.mapsTooMany()) return users.find(legacyUser, scope);
    const failuresBefore = gate.failures;
    const findAmong = (all: Result<FindBackendUser | 'one-by-one'>) => {
      if (!all.ok) return all;
      const found = all.value === 'one-by-one' ? undefined : all.value(legacyUser);
      if (found !== undefined) return succeed(found);
      // They are from before the source failed just now: nobody waits for it twice, nor is called unknown by them.
      if (gate.failures !== failuresBefore) return fail(toUnavailable(`${gate.failure}`));
      // Whoever has just been added is found as soon as an organization would be.
      return users.find(legacyUser, scope);
    };
    return whenKnown(allUsers.find('all', scope), findAmong);
  };
  return {
    forScope: (scope) => ({
      findOrganization: (guid) => organizations.find(guid, scope),
      findBackendUser: (legacyUser) => findBackendUser(legacyUser, scope),
    }),
    async warmUp(scope) {
      if (!gate.tryPass()) return;
      try {
        await source.describe(scope);
        gate.succeeded();
      } catch (error) {
        gate.failed(error instanceof Error ? error.message : String(error));
      }
    },
    status: () => ({
      isLoaded: gate.answeredAtMs !== undefined,
      version: source.version(),
      ageSeconds: gate.answeredAtMs === undefined ? undefined : Math.floor((monotonicMs() - gate.answeredAtMs) / 1000),
      failure: gate.failure,
    }),
  };
}

/** Most of what one process has to do with in an hour; the rest is one round trip away. */
const MAX_ORGANIZATIONS = 10_000;
/** A user is removed once, or a few times by a client that repeats: more would be memory for nothing. */
const MAX_USERS = 20_000;

/** As measured on Node 20, about: an organization, each of its managers, a user. */
const ORGANIZATION_BYTES = 800;
const MANAGER_BYTES = 90;
const USER_BYTES = 350;

/** All those organizations with a dozen managers each; fewer where they have thousands (bench/directory-memory.ts). */
const MAX_ORGANIZATION_BYTES = 20 * 1024 * 1024;
const MAX_USER_BYTES = 10 * 1024 * 1024;

/** One lost connection fails what is in flight, and should not fail what comes next. */
const FAILURES_TO_OPEN = 3;

/** A source that is down costs one attempt in this time. */
const RETRY_MS = 1000;

/** Says once that the source is down, and once that it is back. */
class LoggedGate implements SourceGate {
  readonly #breaker: Breaker;
  readonly #monotonicMs: () => number;
  readonly #log: Log;
  #isReported = false;
  answeredAtMs: number | undefined;
  failure: string | undefined;
  /** How often it has failed. */
  failures = 0;

  constructor(monotonicMs: () => number, log: Log) {
    this.#monotonicMs = monotonicMs;
    this.#log = log;
    const onChange = (state: BreakerState) => this.#report(state);
    this.#breaker = new Breaker({ failuresToOpen: FAILURES_TO_OPEN, openMs: RETRY_MS, monotonicMs, onChange });
  }

  tryPass(): boolean {
    return this.#breaker.tryAcquire();
  }

  succeeded(): void {
    this.failure = undefined;
    this.answeredAtMs = this.#monotonicMs();
    this.#breaker.succeeded();
  }

  failed(reason: string): void {
    this.failure = reason;
    this.failures += 1;
    this.#breaker.failed();
  }

  #report(state: BreakerState): void {
    if (state === 'half-open' || (state === 'open') === this.#isReported) return;
    this.#isReported = state === 'open';
    if (this.#isReported) this.#log.error('directory unavailable', { reason: this.failure });
    else this.#log.info('directory available again');
  }
}
