/**
 * One kind of entry (organizations, or users) read through a bounded cache. What a request gets, by the age of what is held:
 * under half the time to live, that; under the whole, that, while a refresh runs behind the request; beyond, a new load,
 * and if that fails what is held, for MAX_STALE_MS more. So nothing older than the time to live decides who may, as long
 * as the source answers: a plain "stale while revalidating" would let a manager who lost that office weeks ago do one
 * more removal. What the directory does not have is kept apart, so that invented ids push out no real ones.
 */
import { LRUCache } from 'lru-cache';
import { type Failure, fail, type Result, succeed } from '../failure.ts';
import type { MaybePromise } from '../maybe-promise.ts';
import type { Scope } from '../scope.ts';
import { SingleFlight } from '../single-flight.ts';
import type { Log } from '../telemetry/log.ts';
import type { Meter } from '../telemetry/meter.ts';
import { MAX_ID_LENGTH } from './record.ts';
import { DirectoryUnavailable, type Found } from './source.ts';

/** decisions.md, section 5: how long past its time to live an entry may serve while the source fails. */
export const MAX_STALE_MS = 15 * 60_000;

/** An organization that has just been added is found this soon; an invented guid costs one look-up in this time. */
export const UNKNOWN_TTL_MS = 5000;

/** How long a record that cannot be used is not read again. */
export const UNUSABLE_TTL_MS = 1000;

/** From this part of the time to live on, a hit starts a refresh. */
const REFRESH_FROM = 0.5;

/** Invented ids, at most MAX_ID_LENGTH characters each: about 1 MiB at the worst. */
const MAX_UNKNOWN = 2000;

export interface ReadThroughOptions<Value> {
  readonly name: 'organizations' | 'users';
  readonly load: (key: string, scope: Scope) => Promise<Found<Value>>;
  /** As `DirectorySource.version`. */
  readonly version: () => string | undefined;
  readonly toUnknown: (key: string) => Failure;
  readonly maxEntries: number;
  /** Bytes that an entry holds, about; all together hold at most `maxBytes`. */
  readonly toBytes: (key: string, value: Value) => number;
  readonly maxBytes: number;
  readonly ttlMs: number;
  /** One for everything that is read from the same source. */
  readonly gate: SourceGate;
  readonly monotonicMs: () => number;
  readonly log: Log;
  readonly meter: Meter;
}

/** Keeps requests off a source that fails, and knows how it is. */
export interface SourceGate {
  tryPass(): boolean;
  succeeded(): void;
  failed(reason: string): void;
}

interface Entry<Value> {
  readonly result: Result<Value>;
  readonly version: string;
  /** When its load began: what it says was true then or later. */
  readonly loadedAtMs: number;
}

interface BriefEntry {
  readonly failure: Failure;
  readonly version: string | undefined;
  readonly loadedAtMs: number;
  readonly untilMs: number;
}

export class ReadThrough<Value> {
  readonly #options: ReadThroughOptions<Value>;
  readonly #known: LRUCache<string, Entry<Value>>;
  readonly #unknown = new LRUCache<string, BriefEntry>({ max: MAX_UNKNOWN });
  readonly #flight = new SingleFlight<Result<Value>>();

  constructor(options: ReadThroughOptions<Value>) {
    this.#options = options;
    const { maxEntries, maxBytes } = options;
    this.#known = new LRUCache({ max: maxEntries, maxSize: maxBytes });
  }

  /** Fails as `toUnknown` says, or with `unavailable`. Never rejects. A plain Result where nothing has to be waited for. */
  find(key: string, scope: Scope): MaybePromise<Result<Value>> {
    const { ttlMs, meter, name, version, monotonicMs } = this.#options;
    const entry = this.#known.get(key);
    if (entry !== undefined && entry.version === version()) {
      const ageMs = monotonicMs() - entry.loadedAtMs;
      if (ageMs < ttlMs) {
        meter.cache(name, true);
        if (ageMs >= ttlMs * REFRESH_FROM) this.#refresh(key, scope);
        return entry.result;
      }
    }
    return this.#findBeyondCache(key, scope);
  }

  async #findBeyondCache(key: string, scope: Scope): Promise<Result<Value>> {
    const { toUnknown, meter, name } = this.#options;
    // No directory can hold it, and neither cache nor Redis should.
    if (key.length > MAX_ID_LENGTH) return fail(toUnknown(key));
    const brief = this.#recall(key);
    meter.cache(name, brief !== undefined);
    const result = brief ? fail(brief) : await this.#flight.run(key, scope, () => this.#load(key, scope));
    return result.ok || result.failure.kind !== 'unavailable' ? result : (this.#recallStale(key) ?? result);
  }

  #refresh(key: string, scope: Scope): void {
    if (this.#flight.isFlying(key) || this.#recall(key) !== undefined) return;
    void this.#flight.run(key, scope, () => this.#load(key, scope));
  }

  /** Remembers what it finds. Never rejects. */
  async #load(requested: string, scope: Scope): Promise<Result<Value>> {
    const { load, gate, monotonicMs } = this.#options;
    if (!gate.tryPass()) return fail(toUnavailable('it failed a moment ago'));
    const loadedAtMs = monotonicMs();
    const key = toOwnText(requested);
    try {
      const found = await load(key, scope);
      gate.succeeded();
      return this.#remember(key, found, loadedAtMs);
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error);
      const isEntryOnly = error instanceof DirectoryUnavailable && error.extent === 'entry';
      if (isEntryOnly) this.#setAside(key, reason, loadedAtMs);
      else gate.failed(reason);
      return fail(toUnavailable(reason));
    }
  }

  #remember(key: string, { value, version }: Found<Value>, loadedAtMs: number): Result<Value> {
    const { toUnknown, toBytes } = this.#options;
    const result = value === undefined ? fail(toUnknown(key)) : succeed(value);
    // Two loads of one key may overlap on Workers: the one that began first must not bring back what the other replaced.
    const held = this.#known.peek(key) ?? this.#unknown.peek(key);
    if (held !== undefined && held.loadedAtMs > loadedAtMs) return result;
    if (result.ok) {
      this.#unknown.delete(key);
      this.#known.set(key, { result, version, loadedAtMs }, { size: toBytes(key, result.value) });
    } else {
      this.#known.delete(key);
      this.#unknown.set(key, {
        failure: result.failure,
        version,
        loadedAtMs,
        untilMs: loadedAtMs + Math.min(UNKNOWN_TTL_MS, this.#options.ttlMs),
      });
    }
    return result;
  }

  /** A record that cannot be used says nothing about the others: the source has answered. */
  #setAside(key: string, reason: string, loadedAtMs: number): void {
    const { gate, log, name, version, monotonicMs } = this.#options;
    gate.succeeded();
    log.error('directory entry not usable', { kind: name, key, reason });
    const untilMs = monotonicMs() + UNUSABLE_TTL_MS;
    this.#unknown.set(key, { failure: toUnavailable(reason), version: version(), loadedAtMs, untilMs });
  }

  /** What a load said a moment ago, other than a value. */
  #recall(key: string): Failure | undefined {
    const brief = this.#unknown.get(key);
    const { monotonicMs, version } = this.#options;
    return brief && brief.version === version() && monotonicMs() < brief.untilMs ? brief.failure : undefined;
  }

  #recallStale(key: string): Result<Value> | undefined {
    const { monotonicMs, ttlMs, meter } = this.#options;
    const entry = this.#known.get(key);
    if (entry === undefined || monotonicMs() - entry.loadedAtMs > ttlMs + MAX_STALE_MS) return undefined;
    meter.stale('directory');
    return entry.result;
  }
}

/** The same text in memory of its own. V8 keeps the whole request target, 32 KiB perhaps, for an id that was cut from it. */
function toOwnText(text: string): string {
  return JSON.parse(JSON.stringify(text));
}

export function toUnavailable(reason: string): Failure {
  return { kind: 'unavailable', dependency: 'directory', reason };
}
