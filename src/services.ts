/**
 * The only wiring: builds what the pipeline needs, once for a process or isolate, and hands each scope its view of it.
 * What only one runtime has (sockets, files, standard output) comes in from `node-server.ts` or `worker.ts`.
 */
import { hash } from 'node:crypto';
import type { Readiness } from './admin.ts';
import { createBackend } from './backend/client.ts';
import type { CredentialList } from './backend/credential-list.ts';
import type { Config } from './config.ts';
import { createDirectory } from './directory/cache.ts';
import type { DirectorySource } from './directory/source.ts';
import type { Transport } from './http/transport.ts';
import { createKeySet, type KeySet } from './keys/key-set.ts';
import { parsePublicKeys } from './keys/public-keys.ts';
import { createSecretKeyRing } from './keys/secret.ts';
import { profileOf } from './legacy/profiles.ts';
import type { Services } from './pipeline.ts';
import { createAuthenticate, type KeyRing } from './policy/authenticate.ts';
import { createLocalLimitStore } from './policy/local-limit-store.ts';
import type { LimitStore } from './policy/rate-limit.ts';
import { createRateLimiter } from './policy/rate-limiter.ts';
import { createRedisLimitStore } from './redis/limiter.ts';
import type { Scope } from './scope.ts';
import { type AuditOptions, createAudit } from './telemetry/audit.ts';
import type { Log } from './telemetry/log.ts';
import type { Meter } from './telemetry/meter.ts';

/** What a runtime brings. */
export interface Platform {
  readonly log: Log;
  readonly meter: Meter;
  /** As `AuditOptions`. */
  readonly writeLine: AuditOptions['writeLine'];
  readonly transport: Transport;
  readonly source: DirectorySource;
  /** Asked for each removal: a changed credential counts at once. */
  readonly credentials: () => CredentialList;
  readonly origin: Services['origin'];
  /** Addresses are never counted in Redis: on Workers that would open a connection for anybody. */
  readonly countsAddressesLocally: boolean;
}

export interface Wiring {
  forScope(scope: Scope): Services;
  isReady(): boolean;
  /** Asks for the keys and the directory where they were never loaded. Never rejects. */
  warmUp(scope: Scope): Promise<void>;
  /** What `/readyz` shows of each dependency. */
  dependencies(): Readiness['dependencies'];
}

const monotonicMs = () => performance.now();
const epochMs = () => Date.now();

export function createWiring(config: Config, platform: Platform): Wiring {
  const { log, meter, transport } = platform;
  const { keys, keySet } = createKeyRing(config, platform);

  const authenticate = createAuthenticate({
    keys,
    audience: config.legacyToken.audience,
    issuer: config.legacyToken.issuer,
    epochSeconds: () => epochMs() / 1000,
    sha256: (text) => hash('sha256', text, 'base64'),
    onCacheLookup: (isHit) => meter.cache('tokens', isHit),
  });
  const takeQuota = createRateLimiter({
    quotas: config.rateLimit,
    openStore: config.redis && openLimitStore(config.redis.timeoutMs),
    local: createLocalLimitStore({ monotonicMs, epochMs }),
    localSubjects: platform.countsAddressesLocally ? ['address'] : [],
    onFailure: config.rateLimit.onFailure,
    monotonicMs,
    log,
    meter,
  });
  const directory = createDirectory({
    source: platform.source,
    cacheSeconds: config.organizationCacheSeconds,
    monotonicMs,
    log,
    meter,
  });
  const backend = createBackend({
    ...config.backend,
    credentials: platform.credentials,
    transport,
    monotonicMs,
    nowMs: epochMs,
    random: Math.random,
    log,
    meter,
  });
  const audit = createAudit({
    writeLine: platform.writeLine,
    nowMs: epochMs,
    hasCopy: config.redis !== undefined,
    log,
    meter,
  });
  const profile = profileOf(config.profile);

  return {
    forScope: (scope) => ({
      profile,
      clientRules: config.clientRules,
      authenticate: (authorization) => authenticate(authorization, scope),
      takeQuota: takeQuota(scope),
      directory: directory.forScope(scope),
      removeMember: (removal) => backend.removeMember(removal, scope),
      audit: audit(scope),
      origin: platform.origin,
      waitUntil: (work) => scope.waitUntil(work),
    }),
    isReady: () => directory.status().isLoaded && (keySet?.status().isReady ?? true),
    async warmUp(scope) {
      await Promise.all([keySet?.prime(scope), directory.status().isLoaded || directory.warmUp(scope)]);
    },
    dependencies: () => ({
      directory: directory.status(),
      ...(keySet && { keySet: keySet.status() }),
      backend: backend.status(),
    }),
  };
}

function openLimitStore(timeoutMs: number): (scope: Scope) => LimitStore {
  return (scope) => {
    const redis = scope.redis();
    const isShared = scope.followerWaitMs === Infinity && !redis.isCluster;
    return createRedisLimitStore(redis, { timeoutMs, monotonicMs, isShared });
  };
}

function createKeyRing(
  { legacyToken: { keys } }: Config,
  { transport, log, meter }: Platform,
): { readonly keys: KeyRing<Scope>; readonly keySet?: KeySet } {
  switch (keys.kind) {
    case 'secret':
      return { keys: createSecretKeyRing(keys.secret) };
    case 'public-keys':
      // The configuration has refused those that are unfit.
      return { keys: parsePublicKeys(keys.pems).ring };
    case 'key-set': {
      const keySet = createKeySet({ url: keys.url, transport, monotonicMs, log, meter });
      return { keys: keySet, keySet };
    }
  }
}
