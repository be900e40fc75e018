/**
 * A Holdover under attack: two tenants, the backend and the old server behind it, and what arrives there. An attacker,
 * Mallory, manages an organization of her own; what she is after is Bob's place in Alice's.
 */
import { expect } from 'vitest';
import { type Environment, type Holdover, type Runtime, startHoldover } from '../support/holdover.ts';
import { loadDirectory } from '../support/load-directory.ts';
import { exchange } from '../support/raw-origin.ts';
import { type RawRequest, rawRequest } from '../support/raw-request.ts';
import { type RedisServer, startRedis } from '../support/redis.ts';
import {
  makeAccessToken,
  type RecordedCall,
  type ScriptedBackend,
  type Step,
  startScriptedBackend,
  toTokenStep,
} from '../support/scripted-backend.ts';
import { type Claims, createSecret, signToken, toClaims } from '../support/tokens.ts';
import { type StrictOrigin, startStrictOrigin } from './strict-origin.ts';

export const SECRET = 'a secret of the attack table, long enough for HS256';

/** Guid, manager and credential of each tenant; the last two have credentials named like members of every object. */
export const ALICES = 'a11ce000-0000-4000-8000-00000000000a';
export const MALLORYS = 'ba110000-0000-4000-8000-00000000000b';
export const PROTO = 'c0000000-0000-4000-8000-00000000000c';
export const CONSTRUCTOR = 'd0000000-0000-4000-8000-00000000000d';

const TENANTS = [
  { guid: ALICES, manager: 'alice', credential: 'alices' },
  { guid: MALLORYS, manager: 'mallory', credential: 'mallorys' },
  { guid: PROTO, manager: 'mallory', credential: '__proto__' },
  { guid: CONSTRUCTOR, manager: 'mallory', credential: 'constructor' },
];

/** Backend ids by legacy id. */
export const USERS = {
  alice: '11111111-1111-4111-8111-111111111111',
  bob: '22222222-2222-4222-8222-222222222222',
  mallory: '33333333-3333-4333-8333-33333333333a',
};

const DIRECTORY = JSON.stringify({
  organizations: TENANTS.map(({ guid, manager, credential }) => ({
    guid,
    name: `of ${manager}`,
    created_at: '2014-11-24T19:32:37Z',
    updated_at: null,
    billing_enabled: false,
    quota_definition_guid: null,
    status: 'active',
    managers: [manager],
    backend: { organization_id: `org-${credential}`, credential },
  })),
  users: USERS,
  // The more dangerous of the two: whatever is a UUID may be somebody.
  unmapped_users: 'same',
});

const UUID_LENGTH = 36;

export interface Attack {
  readonly method?: string;
  /** Bob's place in Alice's organization unless told. */
  readonly target?: string;
  /** Mallory's unless told; `null` for none. */
  readonly token?: string | null;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string;
  readonly chunked?: boolean;
}

export interface Answer {
  readonly status: number;
  /** Of an error's body. */
  readonly code: number | undefined;
  /** Names in lower case. */
  readonly headers: ReadonlyMap<string, string>;
  readonly body: string;
}

export const toTarget = (guid: string, user: string) => `/v2/organizations/${guid}/users/${user}`;

/** A token of the deployment's own service, an hour long. */
export function sign(claims: Claims): Promise<string> {
  return signToken(toClaims({ scope: ['cloud_controller.write'], ...claims }), createSecret(SECRET));
}

export const ADMIN = await sign({ user_id: 'root', scope: ['cloud_controller.admin'] });
export const ALICE = await sign({ user_id: 'alice' });
export const MALLORY = await sign({ user_id: 'mallory' });

export class Siege {
  readonly runtime: Runtime;
  readonly redis: RedisServer;
  readonly backend: ScriptedBackend;
  readonly origin: StrictOrigin;
  readonly #started = new Map<string, Promise<Holdover>>();
  #calls = 0;

  constructor(runtime: Runtime, redis: RedisServer, backend: ScriptedBackend, origin: StrictOrigin) {
    this.runtime = runtime;
    this.redis = redis;
    this.backend = backend;
    this.origin = origin;
    backend.play(toHealthyStep);
  }

  /** The one with these variables, which all attacks of a file share. An empty value is none. */
  async holdover(env: Environment = {}): Promise<Holdover> {
    const key = JSON.stringify(env);
    const started = this.#started.get(key) ?? startHoldover(this.runtime, { ...this.env, ...env });
    this.#started.set(key, started);
    return started;
  }

  get env(): Environment {
    const credentials = ['alices', 'mallorys'].map((name) => [name, { client_id: name, client_secret: 'x' }]);
    return {
      BACKEND_URL: this.backend.url,
      BACKEND_TOKEN_URL: this.backend.tokenUrl,
      BACKEND_CREDENTIALS: JSON.stringify(Object.fromEntries(credentials)),
      LEGACY_TOKEN_SECRET: SECRET,
      ORGANIZATIONS: 'redis',
      REDIS_URL: this.redis.url,
      // A busy machine must not look like a limit, or like an outage.
      RATE_LIMIT: 'off',
      RATE_LIMIT_UNAUTHENTICATED: 'off',
      REDIS_TIMEOUT_MS: '5000',
      BACKEND_TIMEOUT_MS: '10000',
    };
  }

  async send(
    { target = toTarget(ALICES, 'bob'), token = MALLORY, ...attack }: Attack,
    env?: Environment,
  ): Promise<Answer> {
    const { url } = await this.holdover(env);
    const authorization: Record<string, string> = token === null ? {} : { Authorization: `bearer ${token}` };
    const headers = { ...authorization, ...attack.headers };
    const request: RawRequest = { method: 'DELETE', ...attack, target, headers };
    const answer = await rawRequest(url, request);
    const body = answer.body.toString('utf8');
    return { status: answer.status, headers: answer.headers, body, code: toCode(answer.status, body) };
  }

  /** All that comes back for these bytes, which must end the connection. */
  async sendBytes(bytes: string, env?: Environment): Promise<string> {
    return exchange((await this.holdover(env)).url, bytes);
  }

  /** Sends it; it must be refused in these words, with nothing asked of the backend or of the old server. */
  async refuses(attack: Attack, status: number, code: number, env?: Environment): Promise<Answer> {
    this.forget();
    const answer = await this.send(attack, env);
    const shown = JSON.stringify(attack).slice(0, 300);
    expect({ status: answer.status, code: answer.code }, shown).toEqual({ status, code });
    this.expectNothingHappened(shown);
    return answer;
  }

  /** Sends it; exactly that one removal must happen, with the credential of that tenant. */
  async removes(attack: Attack, credential: string, user: string, env?: Environment): Promise<Answer> {
    this.forget();
    const answer = await this.send(attack, env);
    expect(answer.status, JSON.stringify(attack).slice(0, 300)).toBe(201);
    expect(this.removals()).toEqual([`${credential} ${user}`]);
    return answer;
  }

  /** What the backend was asked to remove since the last `forget`: credential and backend id. */
  removals(): string[] {
    const removed = this.backend.callsTo('remove').slice(this.#calls);
    return removed.map(
      ({ headers, target }) => `${toCredential(headers['authorization'])} ${target.split('/').at(-1)}`,
    );
  }

  forget(): void {
    this.#calls = this.backend.callsTo('remove').length;
    this.origin.forget();
  }

  expectNothingHappened(shown = ''): void {
    expect(this.removals(), shown).toEqual([]);
    expect(this.origin.requests, shown).toEqual([]);
  }

  /** Ends everything; what Holdover wrote can be read afterwards. */
  async close(): Promise<readonly Holdover[]> {
    const holdovers = await Promise.all(this.#started.values());
    for (const holdover of holdovers) await holdover.stop();
    await Promise.all([this.backend.close(), this.origin.close(), this.redis.stop()]);
    return holdovers;
  }

  /** Ends everything: nothing but JSON lines was written, and an intent for each removal. */
  async end(): Promise<void> {
    const holdovers = await this.close();
    const noise = holdovers.flatMap((holdover) => holdover.noise);
    const intents = holdovers.flatMap(({ lines }) => lines.filter((line) => line['audit'] === 'intent'));
    const intended = new Set(intents.map((line) => String(line['request_id']).slice(-UUID_LENGTH)));
    const removals = this.backend.callsTo('remove').map(({ headers }) => headers['x-request-id'] ?? '');
    expect(noise.filter((line) => !/ExperimentalWarning|--trace-warnings/.test(line))).toEqual([]);
    expect(removals.filter((id) => !intended.has(id))).toEqual([]);
    expect(this.origin.violations).toEqual([]);
  }
}

export async function openSiege(runtime: Runtime, redis?: RedisServer): Promise<Siege> {
  const server = redis ?? (await startRedis());
  await loadDirectory(server.url, DIRECTORY);
  return new Siege(runtime, server, await startScriptedBackend(), await startStrictOrigin());
}

/** A backend with which all is well. */
export function toHealthyStep(call: RecordedCall): Step | undefined {
  if (call.endpoint === 'remove') return { status: 204 };
  if (call.endpoint !== 'token') return undefined;
  const credential = new URLSearchParams(call.body).get('client_id') ?? '';
  return toTokenStep(makeAccessToken(`org-${credential}`, { credential }));
}

export function toCredential(authorization = ''): string {
  const payload = authorization.split('.')[1] ?? '';
  return (JSON.parse(Buffer.from(payload, 'base64url').toString()) as { credential: string }).credential;
}

function toCode(status: number, body: string): number | undefined {
  if (status < 400) return undefined;
  try {
    return (JSON.parse(body) as { code?: number }).code;
  } catch {
    return undefined;
  }
}
