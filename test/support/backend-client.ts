/** The backend client as it is wired on Node, against a scripted backend: real connections, real timers. */

import { type Backend, createBackend, type Removal, type RemovalOutcome } from '../../src/backend/client.ts';
import type { Credential } from '../../src/backend/credential-list.ts';
import type { Transport } from '../../src/http/transport.ts';
import { createUndiciTransport } from '../../src/http/undici.ts';
import type { Scope } from '../../src/scope.ts';
import type { Log } from '../../src/telemetry/log.ts';
import { NO_METER } from '../../src/telemetry/meter.ts';
import { ORGANIZATION_ID, type ScriptedBackend } from './scripted-backend.ts';

export const USER_ID = '7b1f4c52-91d4-4c7e-b0e6-6f0f6b6c2e37';
export const OTHER_USER_ID = '0c9a2f0e-7a53-4d0e-8a2b-3f4b8f2a9d11';
export const REQUEST_ID = '3f0e1b9a-5a0c-4d8e-9a51-0c7d1f6e2b40';

/** Long enough to be kept by no accident, and found by every test that looks for a leak. */
export const SECRET = 'canary-secret-0123456789';

export interface TestBackend extends Backend {
  remove(removal?: Partial<Removal>, scope?: Scope): Promise<RemovalOutcome>;
  /** Live: a test changes it as an operator changes the file. */
  readonly credentials: Map<string, Credential>;
  /** Every log line, as JSON. */
  readonly logged: readonly string[];
  close(): Promise<void>;
}

export interface TestBackendOptions {
  readonly timeoutMs?: number;
  readonly concurrency?: number;
  readonly transport?: Transport;
  readonly monotonicMs?: () => number;
  readonly random?: () => number;
}

export const NODE_SCOPE: Scope = {
  waitUntil() {},
  redis() {
    throw new Error('no Redis here');
  },
  followerWaitMs: Number.POSITIVE_INFINITY,
};

/** A scope as each request on Workers has its own. */
export function openWorkerScope(): Scope {
  return { ...NODE_SCOPE, followerWaitMs: 1_000 };
}

export function openTestBackend(backend: ScriptedBackend, options: TestBackendOptions = {}): TestBackend {
  const { timeoutMs = 5_000, concurrency = 64 } = options;
  const undici = createUndiciTransport({ connections: concurrency });
  const credentials = new Map<string, Credential>([
    ['main', { kind: 'client', clientId: 'key-main', clientSecret: SECRET }],
  ]);
  const logged: string[] = [];
  const write = (message: string, fields?: object) => {
    logged.push(JSON.stringify({ message, ...fields }));
  };
  const log: Log = { debug: write, info: write, warn: write, error: write };
  const client = createBackend({
    url: backend.url,
    tokenUrl: backend.tokenUrl,
    credentials: () => credentials,
    timeoutMs,
    concurrency,
    transport: options.transport ?? undici.send,
    log,
    meter: NO_METER,
    monotonicMs: options.monotonicMs ?? (() => performance.now()),
    nowMs: () => Date.now(),
    random: options.random ?? (() => 0),
  });
  return {
    ...client,
    credentials,
    logged,
    remove: (removal, scope = NODE_SCOPE) =>
      client.removeMember(
        {
          organizationId: ORGANIZATION_ID,
          credential: 'main',
          userId: USER_ID,
          requestId: REQUEST_ID,
          traceparent: undefined,
          ...removal,
        },
        scope,
      ),
    close: () => undici.close(),
  };
}
