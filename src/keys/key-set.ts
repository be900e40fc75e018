/**
 * LEGACY_TOKEN_KEYS_URL: the keys that a token service publishes, fetched when they are needed and kept fresh (decisions.md,
 * section 4). This file is about time: refresh, cooldowns, staleness. What a key set says: `key-set-body.ts`.
 */
import { fail, type Result, succeed } from '../failure.ts';
import type { Transport } from '../http/transport.ts';
import type { KeyRing, TokenHeader, VerificationKey } from '../policy/authenticate.ts';
import type { Scope } from '../scope.ts';
import { SingleFlight } from '../single-flight.ts';
import type { Log } from '../telemetry/log.ts';
import type { Meter } from '../telemetry/meter.ts';
import { type KeySetContent, parseKeySet, type SetKey } from './key-set-body.ts';

export interface KeySet extends KeyRing<Scope> {
  /**
   * Loads the keys where there are none yet. For the start, and for each time readiness is asked: an instance that gets
   * no traffic before it is ready has nothing else that would load them. Fails with `unavailable`.
   */
  prime(scope: Scope): Promise<Result<void>>;
  status(): KeySetStatus;
}

export interface KeySetStatus {
  /** Whether keys have ever been loaded. */
  readonly isReady: boolean;
  readonly keys: number;
  /** Since the last success; undefined before the first. Above MAX_STALE_MS no token is verified. */
  readonly ageSeconds: number | undefined;
  /** Why the last load failed; undefined where it did not. */
  readonly failure: string | undefined;
}

export interface KeySetOptions {
  readonly url: string;
  readonly transport: Transport;
  /** Monotonic milliseconds. */
  readonly monotonicMs: () => number;
  readonly log: Log;
  readonly meter: Pick<Meter, 'stale'>;
}

/** How soon a key that was taken out of the set stops counting, given traffic. */
export const REFRESH_MS = 5 * 60 * 1000;
/** A key server that is down for a day is no reason to trust its old keys for ever (decisions.md, section 4). */
export const MAX_STALE_MS = 24 * 60 * 60 * 1000;
/** Between a failed load and the next. */
export const FAILURE_COOLDOWN_MS = 5000;
/** Between two loads that unknown `kid`s asked for: anybody can invent a `kid`. */
export const UNKNOWN_KID_COOLDOWN_MS = 30_000;
/**
 * Between the beginnings of two loads that overlap, which happens on Workers alone: followers who give up on a slow
 * leader must not all fetch at once.
 */
export const OVERLAP_MS = 1000;
/** The longest a cold request waits for keys. */
const LOAD_TIMEOUT_MS = 3000;
/** About 500 keys. */
const MAX_BODY_BYTES = 256 * 1024;
/** Bounds what a token without `kid` costs: each key is one signature verification. */
const MAX_CANDIDATES = 8;

/** SingleFlight's key: there is only one set. */
const FLIGHT = 'key-set';
/** No key of a set verifies anything else, `none` and the HMACs least of all. */
const SET_ALGORITHMS: ReadonlySet<string> = new Set(['RS256', 'RS384', 'RS512', 'ES256']);

interface Loaded {
  readonly keys: readonly SetKey[];
  readonly current: ReadonlySet<VerificationKey>;
  /** When the load that brought them began. */
  readonly at: number;
}

/** Loads nothing until it is asked to. One for the process or isolate; what does I/O comes with each call's scope. */
export function createKeySet({ url, transport, monotonicMs, log, meter }: KeySetOptions): KeySet {
  const flights = new SingleFlight<void>();
  let loaded: Loaded | undefined;
  let refreshAt = 0;
  let retryAt = Number.NEGATIVE_INFINITY;
  let searchAt = Number.NEGATIVE_INFINITY;
  let failure: string | undefined;
  let lastSkipped = '';

  const usable = () => (loaded && monotonicMs() - loaded.at <= MAX_STALE_MS ? loaded : undefined);

  const load = async (): Promise<void> => {
    const startedAt = monotonicMs();
    if (startedAt < retryAt) return;
    retryAt = startedAt + OVERLAP_MS;
    const content = await fetchKeys();
    // An answer that was overtaken must not bring back a key that has gone since.
    if (loaded && startedAt < loaded.at) return;
    if (typeof content === 'string') {
      retryAt = refreshAt = monotonicMs() + FAILURE_COOLDOWN_MS;
      if (loaded) meter.stale('key-set');
      const isNew = content !== failure;
      failure = content;
      if (isNew) log.warn('the key set could not be loaded', { ...status() });
      return;
    }
    loaded = { keys: content.keys, current: new Set(content.keys.map(({ key }) => key)), at: startedAt };
    refreshAt = startedAt + REFRESH_MS;
    retryAt = Number.NEGATIVE_INFINITY;
    if (failure !== undefined) log.info('the key set was loaded again', { keys: content.keys.length });
    failure = undefined;
    const { skipped } = content;
    if (skipped !== '' && skipped !== lastSkipped) log.warn('keys of the key set were left out', { skipped });
    lastSkipped = skipped;
  };

  /** Or why there are none. */
  const fetchKeys = async (): Promise<KeySetContent | string> => {
    try {
      const headers = { Accept: 'application/json' };
      const request = { method: 'GET', url, headers, timeoutMs: LOAD_TIMEOUT_MS, maxBytes: MAX_BODY_BYTES } as const;
      const answer = await transport(request);
      if (answer.status !== 200) return `status ${answer.status}`;
      if (answer.isTruncated) return `more than ${MAX_BODY_BYTES} bytes`;
      const content = await parseKeySet(answer.body, loaded?.keys ?? []);
      if (content === undefined) return 'no key set in the answer';
      return content.keys.length > 0 ? content : `no key that is fit: ${content.skipped}`;
    } catch (error) {
      return (error as Error).message;
    }
  };

  const refreshInBackground = (scope: Scope): void => {
    const now = monotonicMs();
    if (now < refreshAt) return;
    // Nobody else until this attempt has had its time, even if its request is cancelled and it never ends.
    refreshAt = now + FAILURE_COOLDOWN_MS;
    scope.waitUntil(flights.run(FLIGHT, scope, load));
  };

  const loadAndFind = async (header: TokenHeader, scope: Scope): Promise<Result<readonly VerificationKey[]>> => {
    const primed = await prime(scope);
    return primed.ok ? succeed(toCandidates(primed.value, header)) : primed;
  };

  /** The service may have a new key since the last load. Where it has not, or does not answer, the `kid` stays unknown. */
  const searchAndFind = async (header: TokenHeader, scope: Scope): Promise<Result<readonly VerificationKey[]>> => {
    const now = monotonicMs();
    const isFlying = flights.isFlying(FLIGHT);
    if (!isFlying && now < searchAt) return succeed([]);
    if (!isFlying) searchAt = now + UNKNOWN_KID_COOLDOWN_MS;
    // Who joined a load and gave up on it does not begin another: only the cooldown allows that.
    await flights.run(FLIGHT, scope, isFlying ? async () => undefined : load);
    return loadAndFind(header, scope);
  };

  const prime = async (scope: Scope): Promise<Result<Loaded>> => {
    if (!usable()) await flights.run(FLIGHT, scope, load);
    const ready = usable();
    if (ready) return succeed(ready);
    return fail({ kind: 'unavailable', dependency: 'key-set', reason: failure ?? 'not loaded in time' });
  };

  const status = (): KeySetStatus => ({
    isReady: loaded !== undefined,
    keys: loaded?.keys.length ?? 0,
    ageSeconds: loaded && Math.floor((monotonicMs() - loaded.at) / 1000),
    failure,
  });

  return {
    find(header, scope) {
      if (!SET_ALGORITHMS.has(header.alg)) return succeed([]);
      const ready = usable();
      if (ready === undefined) return loadAndFind(header, scope);
      refreshInBackground(scope);
      const candidates = toCandidates(ready, header);
      if (candidates.length > 0 || header.kid === undefined) return succeed(candidates);
      return searchAndFind(header, scope);
    },
    isCurrent(key, scope) {
      const ready = usable();
      if (ready === undefined) return false;
      // Requests with remembered tokens ask here only: without this they would keep an old set for a day.
      refreshInBackground(scope);
      return ready.current.has(key);
    },
    async prime(scope) {
      const primed = await prime(scope);
      return primed.ok ? succeed(undefined) : primed;
    },
    status,
  };
}

function toCandidates({ keys }: Loaded, { alg, kid }: TokenHeader): readonly VerificationKey[] {
  const named = keys.filter((entry) => kid === undefined || entry.kid === kid);
  const fitting = named.map(({ key }) => key).filter((key) => key.algorithms.has(alg));
  return [...new Set(fitting)].slice(0, MAX_CANDIDATES);
}
