/** A key set with the real verifier before it, a clock that tests move, and everything it wrote. */
import { createHash } from 'node:crypto';
import { createFetchTransport } from '../../src/http/fetch.ts';
import type { Transport } from '../../src/http/transport.ts';
import { createKeySet, type KeySet } from '../../src/keys/key-set.ts';
import { createAuthenticate } from '../../src/policy/authenticate.ts';
import type { Scope } from '../../src/scope.ts';
import type { Log } from '../../src/telemetry/log.ts';

export interface Verifier {
  readonly keySet: KeySet;
  readonly clock: { monotonicMs: number };
  readonly scope: Scope;
  readonly lines: readonly { readonly level: string; readonly message: string; readonly fields: unknown }[];
  readonly counts: { stale: number; hits: number };
  /** `accepted`, the reason of a refusal, or `unavailable`. */
  present(token: string): Promise<string>;
  /** Until nothing is under way in the background. */
  settle(): Promise<void>;
}

export function createVerifier(options: { url: string; transport?: Transport; followerWaitMs?: number }): Verifier {
  const { url, transport = createFetchTransport(fetch), followerWaitMs = Infinity } = options;
  const clock = { monotonicMs: 1_000_000 };
  const lines: { level: string; message: string; fields: unknown }[] = [];
  const counts = { stale: 0, hits: 0 };
  let work: Promise<unknown>[] = [];
  const scope: Scope = {
    waitUntil: (promise) => void work.push(promise),
    redis: () => {
      throw new Error('verifying a token needs no Redis');
    },
    followerWaitMs,
  };
  const write =
    (level: string): Log['info'] =>
    (message, fields) =>
      void lines.push({ level, message, fields });
  const log: Log = { debug: write('debug'), info: write('info'), warn: write('warn'), error: write('error') };
  const meter = {
    stale() {
      counts.stale += 1;
    },
  };
  const keySet = createKeySet({ url, transport, monotonicMs: () => clock.monotonicMs, log, meter });
  const authenticate = createAuthenticate<Scope>({
    keys: keySet,
    issuer: undefined,
    audience: 'cloud_controller',
    epochSeconds: () => Date.now() / 1000,
    sha256: (text) => createHash('sha256').update(text).digest('hex'),
    onCacheLookup(isHit) {
      if (isHit) counts.hits += 1;
    },
  });
  return {
    keySet,
    clock,
    scope,
    lines,
    counts,
    async present(token) {
      const result = await authenticate(`bearer ${token}`, scope);
      if (result.ok) return 'accepted';
      return result.failure.kind === 'token-invalid' ? result.failure.reason : result.failure.kind;
    },
    async settle() {
      while (work.length > 0) {
        const pending = work;
        work = [];
        await Promise.all(pending);
      }
    },
  };
}
