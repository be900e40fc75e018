/**
 * The limit store that all processes share: one script call, one round trip a decision, on a single Redis or a Cluster.
 * The decisions of one turn of the event loop share a call where they may. The script: `limit-script.ts`. What happens
 * when it does not answer: `policy/rate-limiter.ts`.
 */
import { createHash } from 'node:crypto';
import type { Cluster, Redis } from 'ioredis';
import { type Decision, type LimitStore, type Quota, toUnitMicros, toWindowMicros } from '../policy/rate-limit.ts';
import { LIMIT_SCRIPT } from './limit-script.ts';

export interface RedisLimitStoreOptions {
  /** The `commandTimeout` of the client: no decision waits longer. */
  readonly timeoutMs: number;
  readonly monotonicMs: () => number;
  /**
   * Whether requests may share a call (default: no): neither on a Cluster, whose slots keep keys apart, nor on Workers,
   * which keep requests apart.
   */
  readonly isShared?: boolean;
}

const KEY_PREFIX = 'holdover:limit:';
const SCRIPT_SHA1 = createHash('sha1').update(LIMIT_SCRIPT).digest('hex');

/** Redis does nothing else while the script runs: this many are some hundred microseconds. */
const MAX_SHARED = 100;

interface Asked {
  readonly key: string;
  readonly quota: Quota;
  readonly resolve: (decision: Decision) => void;
  readonly reject: (error: unknown) => void;
}

/** Rejects with whatever the client rejects with; only what proves that nothing ran is asked again (NOSCRIPT, CROSSSLOT). */
export function createRedisLimitStore(redis: Redis | Cluster, options: RedisLimitStoreOptions): LimitStore {
  const { timeoutMs, monotonicMs } = options;
  let { isShared = false } = options;
  let waiting: Asked[] = [];

  async function run(keys: readonly string[], args: readonly number[]): Promise<unknown> {
    const askedAtMs = monotonicMs();
    try {
      return await redis.evalsha(SCRIPT_SHA1, keys.length, ...keys, ...args);
    } catch (error) {
      if (!isRefusal(error, 'NOSCRIPT')) throw error;
    }
    // The server restarted or its scripts were flushed. Sending the source also stores it there.
    const leftMs = askedAtMs + timeoutMs - monotonicMs();
    if (leftMs <= 0) throw new Error('the script came too late to be sent again');
    return within(leftMs, redis.eval(LIMIT_SCRIPT, keys.length, ...keys, ...args));
  }

  function askWaiting(): void {
    const asked = waiting;
    waiting = [];
    // A full turn has been sent already.
    if (asked.length > 0) void ask(asked);
  }

  async function ask(asked: readonly Asked[]): Promise<void> {
    try {
      const keys = asked.map(({ key }) => KEY_PREFIX + key);
      const quotas = asked.map(({ quota }) => quota);
      const isOneForAll = quotas.every((quota) => quota === quotas[0]);
      const args = quotas
        .slice(0, isOneForAll ? 1 : undefined)
        .flatMap((quota) => [toUnitMicros(quota), toWindowMicros(quota)]);
      const decisions = toDecisions(await run(keys, args), asked.length);
      for (const [index, { resolve }] of asked.entries()) resolve(decisions[index] as Decision);
    } catch (error) {
      if (asked.length > 1 && isRefusal(error, 'CROSSSLOT')) {
        // One address, and a Cluster behind it.
        isShared = false;
        for (const one of asked) void ask([one]);
      } else {
        for (const { reject } of asked) reject(error);
      }
    }
  }

  return {
    take: (key, quota) =>
      new Promise((resolve, reject) => {
        waiting.push({ key, quota, resolve, reject });
        if (!isShared || waiting.length === MAX_SHARED) askWaiting();
        else if (waiting.length === 1) setImmediate(askWaiting);
      }),
  };
}

/** `code`: the first word of an error that the server answers. */
function isRefusal(error: unknown, code: string): boolean {
  return error instanceof Error && error.message.startsWith(code);
}

function toDecisions(reply: unknown, count: number): Decision[] {
  if (!Array.isArray(reply) || reply.length !== 3 * count) throw foreignReply();
  const decisions: Decision[] = [];
  for (let at = 0; at < reply.length; at += 3) decisions.push(toDecision(reply[at], reply[at + 1], reply[at + 2]));
  return decisions;
}

function toDecision(allowed: unknown, fullInMicros: unknown, atMicros: unknown): Decision {
  const isOurs = (allowed === 0 || allowed === 1) && isWhole(fullInMicros) && isWhole(atMicros);
  if (!isOurs) throw foreignReply();
  return { isAllowed: allowed === 1, fullInMicros, atMicros };
}

function isWhole(value: unknown): value is number {
  return Number.isSafeInteger(value);
}

function foreignReply(): Error {
  return new Error('the limit script gave an answer that is not its own');
}

/** The client's own time-out begins anew with a second command; the decision's does not. */
async function within<Value>(ms: number, answer: Promise<Value>): Promise<Value> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(() => reject(new Error('Redis did not answer in time')), ms);
  });
  try {
    return await Promise.race([answer, late]);
  } finally {
    clearTimeout(timer);
  }
}
