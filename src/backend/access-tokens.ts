/**
 * The access token of each credential: a static one as it is, or one fetched by client credentials (RFC 6749, section
 * 4.4) and kept until shortly before it expires. Whose organization a token is for: `organization-check.ts`.
 */
import { LRUCache } from 'lru-cache';
import { type Result, succeed } from '../failure.ts';
import type { Transport } from '../http/transport.ts';
import type { Scope } from '../scope.ts';
import { SingleFlight } from '../single-flight.ts';
import type { Log } from '../telemetry/log.ts';
import type { Meter } from '../telemetry/meter.ts';
import type { Credential, CredentialList } from './credential-list.ts';
import { requestToken } from './token-request.ts';
import { unavailable } from './unavailable.ts';

/** One token. What is known of it is kept by its identity, and goes when it goes. */
export interface AccessToken {
  /** The value of the Authorization header: `Bearer ` and the token. */
  readonly authorization: string;
  /** Unique in the process, and no secret. */
  readonly serial: string;
}

export interface AccessTokensOptions {
  /** The list as it is now: a changed secret takes effect at once. */
  readonly credentials: () => CredentialList;
  /** BACKEND_TOKEN_URL */
  readonly tokenUrl: string | undefined;
  /** For one fetch. */
  readonly timeoutMs: number;
  readonly transport: Transport;
  readonly log: Log;
  readonly meter: Meter;
  readonly monotonicMs: () => number;
}

/** More credentials than this are fetched for again and again, rather than kept. */
const MOST_KEPT = 10_000;

/** A failed fetch is not repeated sooner. */
const FAILURE_MEMORY_MS = 1_000;

/** A token that the backend refuses before its time is replaced no more often. */
const FORCED_REFRESH_MS = 10_000;

/** From then on a token is refreshed while it still serves: a login service that is down for less is not noticed. */
const REFRESH_AHEAD = { ms: 300_000, share: 0.2 } as const;

/** From then on it does not serve any more: it might expire on its way. */
const EXPIRE_AHEAD = { ms: 10_000, share: 0.1 } as const;

interface Entry {
  readonly credential: Credential;
  /** Distinguishes the fetches of this very credential from those of an earlier secret under its name. */
  readonly flight: string;
  token: AccessToken | undefined;
  refreshAt: number;
  expiresAt: number;
  failure: Result<never> | undefined;
  failedUntil: number;
  forcedAt: number;
}

export class AccessTokens {
  readonly #options: AccessTokensOptions;
  readonly #entries = new LRUCache<string, Entry>({ max: MOST_KEPT });
  readonly #flights = new SingleFlight<Result<AccessToken>>();
  #made = 0;

  constructor(options: AccessTokensOptions) {
    this.#options = options;
  }

  /** What can be said without waiting; `undefined` where a token must be loaded. Fails with `unavailable`. */
  find(name: string, scope: Scope): Result<AccessToken> | undefined {
    const entry = this.#entryOf(name);
    if (entry === undefined) return unavailable(`there is no credential named ${JSON.stringify(name)}`);
    const now = this.#options.monotonicMs();
    const isKept = entry.token !== undefined && now < entry.expiresAt;
    this.#options.meter.cache('access-tokens', isKept);
    if (entry.token !== undefined && isKept) {
      if (now >= entry.refreshAt) this.#refreshAhead(name, entry, scope);
      return succeed(entry.token);
    }
    return now < entry.failedUntil ? entry.failure : undefined;
  }

  /** One fetch at a time for each credential. */
  async load(name: string, scope: Scope): Promise<Result<AccessToken>> {
    const entry = this.#entryOf(name);
    if (entry === undefined) return unavailable(`there is no credential named ${JSON.stringify(name)}`);
    return this.#flights.run(entry.flight, scope, () => this.#fetch(name, entry));
  }

  /** A token in place of one that the backend refused. Fails where there is no other. */
  async replace(name: string, refused: AccessToken, scope: Scope): Promise<Result<AccessToken>> {
    const entry = this.#entryOf(name);
    if (entry?.token === refused) {
      const now = this.#options.monotonicMs();
      if (entry.credential.kind === 'token') return unavailable('the backend refuses this token');
      if (now < entry.forcedAt + FORCED_REFRESH_MS) return unavailable('the backend refuses a token that is fresh');
      entry.forcedAt = now;
      entry.token = undefined;
    }
    return this.find(name, scope) ?? this.load(name, scope);
  }

  #entryOf(name: string): Entry | undefined {
    const credential = this.#options.credentials().get(name);
    const kept = this.#entries.get(name);
    if (credential === undefined) {
      if (kept) this.#entries.delete(name);
      return undefined;
    }
    if (kept && isSame(kept.credential, credential)) return kept;
    const isStatic = credential.kind === 'token';
    const entry: Entry = {
      credential,
      flight: this.#nextSerial(),
      token: isStatic ? this.#toToken(credential.token) : undefined,
      refreshAt: Number.POSITIVE_INFINITY,
      expiresAt: Number.POSITIVE_INFINITY,
      failure: undefined,
      failedUntil: Number.NEGATIVE_INFINITY,
      forcedAt: Number.NEGATIVE_INFINITY,
    };
    this.#entries.set(name, entry);
    return entry;
  }

  #refreshAhead(name: string, entry: Entry, scope: Scope): void {
    if (this.#flights.isFlying(entry.flight) || this.#options.monotonicMs() < entry.failedUntil) return;
    const refreshed = this.#flights.run(entry.flight, scope, () => this.#fetch(name, entry));
    scope.waitUntil(refreshed);
  }

  async #fetch(name: string, entry: Entry): Promise<Result<AccessToken>> {
    const { log, monotonicMs } = this.#options;
    const began = monotonicMs();
    const granted = await requestToken(entry.credential, this.#options);
    if (!granted.ok) {
      entry.failure = granted;
      entry.failedUntil = monotonicMs() + FAILURE_MEMORY_MS;
      log.warn('no access token', { credential: name, failure: granted.failure });
      return granted;
    }
    const { value, lifetimeMs } = granted.value;
    entry.token = this.#toToken(value);
    entry.refreshAt = began + lifetimeMs - ahead(REFRESH_AHEAD, lifetimeMs);
    entry.expiresAt = began + lifetimeMs - ahead(EXPIRE_AHEAD, lifetimeMs);
    return succeed(entry.token);
  }

  #toToken(value: string): AccessToken {
    return { authorization: `Bearer ${value}`, serial: this.#nextSerial() };
  }

  #nextSerial(): string {
    this.#made += 1;
    return `${this.#made}`;
  }
}

function ahead({ ms, share }: { readonly ms: number; readonly share: number }, lifetimeMs: number): number {
  return Math.min(ms, lifetimeMs * share);
}

function isSame(one: Credential, other: Credential): boolean {
  if (one === other) return true;
  if (one.kind === 'token') return other.kind === 'token' && one.token === other.token;
  return other.kind === 'client' && one.clientId === other.clientId && one.clientSecret === other.clientSecret;
}
