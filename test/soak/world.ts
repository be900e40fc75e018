/** All that the soak's replicas depend on, real and on loopback, with what an operator does to it meanwhile. */
import { randomUUID } from 'node:crypto';
import { mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type FaultProxy, startFaultProxy } from '../support/fault-proxy.ts';
import { type KeyServer, startKeyServer } from '../support/key-server.ts';
import { loadDirectory } from '../support/load-directory.ts';
import { type MemberBackend, startMemberBackend } from '../support/member-backend.ts';
import { type RedisServer, startRedis } from '../support/redis.ts';
import { sampleRecord } from '../support/sample-directory.ts';
import { createEcKey, type KeyPair } from '../support/tokens.ts';

export interface World {
  readonly redis: RedisServer;
  readonly backend: MemberBackend;
  /** Before the backend, and before its token endpoint. */
  readonly backendProxy: FaultProxy;
  readonly tokenProxy: FaultProxy;
  readonly keys: KeyServer;
  /** What tokens are signed with now. */
  readonly key: () => KeyPair;
  /** The key published at the last rotation signs from now on, and another is published: as rotation is done everywhere. */
  rotateKey(): void;
  publishKeys(): void;
  /** A new version of the directory, in Redis and in the file. */
  loadDirectory(): Promise<void>;
  /** For a replica with its directory in Redis, and for one with a file. */
  readonly env: Readonly<Record<'redis' | 'file', Readonly<Record<string, string>>>>;
  close(): Promise<void>;
}

export const GUIDS = Array.from({ length: 50 }, (_, index) => `organization-${index}`);
export const MANAGERS = Array.from({ length: 20 }, (_, index) => `manager-${index}`);

/** Shorter than the soak's rest at the end, when nothing idle may be open any more. */
const BACKEND_KEEP_ALIVE_MS = 4_000;

export async function openWorld(): Promise<World> {
  const folder = mkdtempSync(join(tmpdir(), 'holdover-soak-'));
  const file = join(folder, 'organizations.json');
  const credentials = GUIDS.map((_, index) => `credential-${index}`);
  const redis = await startRedis({ own: true });
  const backend = await startMemberBackend(credentials, BACKEND_KEEP_ALIVE_MS);
  const [backendProxy, tokenProxy] = await Promise.all([
    startFaultProxy({ targetPort: backend.port }),
    startFaultProxy({ targetPort: backend.port }),
  ]);
  let ring = Array.from({ length: 3 }, () => createEcKey({ kid: randomUUID() })) as [KeyPair, KeyPair, KeyPair];
  const keys = await startKeyServer();
  const publishKeys = () => keys.publish(ring.map(({ jwk }) => jwk));
  publishKeys();
  const load = async () => {
    const json = toDirectory();
    writeFileSync(`${file}.new`, json);
    renameSync(`${file}.new`, file);
    await loadDirectory(redis.url, json);
  };
  await load();
  const env = {
    LEGACY_TOKEN_KEYS_URL: keys.url,
    BACKEND_URL: `http://127.0.0.1:${backendProxy.port}/v1`,
    BACKEND_TOKEN_URL: `http://127.0.0.1:${tokenProxy.port}/oauth/token`,
    BACKEND_CREDENTIALS: backend.credentials,
    BACKEND_TIMEOUT_MS: '1500',
    REDIS_URL: redis.url,
    REDIS_TIMEOUT_MS: '200',
    RATE_LIMIT: '2000/1h',
    RATE_LIMIT_UNAUTHENTICATED: '1000000/1h',
    ORGANIZATION_CACHE_SECONDS: '5',
  };
  return {
    redis,
    backend,
    backendProxy,
    tokenProxy,
    keys,
    key: () => ring[1],
    rotateKey() {
      ring = [ring[1], ring[2], createEcKey({ kid: randomUUID() })];
      publishKeys();
    },
    publishKeys,
    loadDirectory: load,
    env: { redis: { ...env, ORGANIZATIONS: 'redis' }, file: { ...env, ORGANIZATIONS: `file:${file}` } },
    async close() {
      await Promise.all([backendProxy.close(), tokenProxy.close(), keys.close(), backend.close(), redis.stop()]);
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

function toDirectory(): string {
  const organizations = GUIDS.map((guid, index) =>
    sampleRecord({
      guid,
      // Something that changes from version to version.
      name: `name-${randomUUID()}`,
      managers: MANAGERS,
      backend: { organization_id: `org-credential-${index}`, credential: `credential-${index}` },
    }),
  );
  return JSON.stringify({ organizations, users: {}, unmapped_users: 'same' });
}
