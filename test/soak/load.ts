/** The soak's clients: mixed requests, each with the answers it may get, and what the backend knows about it afterwards. */
import { Agent, request } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import { MAX_CACHED_TOKENS } from '../../src/policy/authenticate.ts';
import { signToken, toClaims } from '../support/tokens.ts';
import { type Ask, choose, freeMembers, pick, tokenFor, toRead } from './mix.ts';
import type { Replica } from './replica.ts';
import type { World } from './world.ts';

export interface Tally {
  requests: number;
  aborted: number;
  /** By kind of request and answer. */
  readonly answers: Map<string, number>;
  /** No answer, although the client waited. */
  readonly lost: string[];
  /** An answer that this request must not get. */
  readonly wrong: string[];
  /** 201 while the user was still there. */
  falseSuccesses: number;
  /** Removals that got an error first, and 201 on a repeat; and those that never did. */
  repaired: number;
  unrepaired: number;
  readonly latenciesMs: number[];
}

const CLIENTS = 12;
const PAUSE_MS = 40;
/** Beyond every deadline of Holdover's. */
const PATIENCE_MS = 15_000;
const REPEATS = 40;
const REPEAT_PAUSE_MS = 500;

/**
 * Fills each replica's memory of verified tokens to its bound. Else it fills by and by, since every rotated key brings
 * new tokens, and would look like a leak for an hour.
 */
export async function fillTokenMemory(world: World, replicas: readonly Replica[]): Promise<void> {
  const agent = new Agent({ keepAlive: true, maxSockets: CLIENTS });
  let left = MAX_CACHED_TOKENS;
  const fill = async () => {
    while (left > 0) {
      left -= 1;
      const what = toRead(await signToken(toClaims({ user_id: `filler-${left}` }), world.key()));
      for (const { url } of replicas) {
        const end = await exchange(agent, url, what);
        if (end !== 200) throw new Error(`a request that fills the memory of tokens: ${end}`);
      }
    }
  };
  await Promise.all(Array.from({ length: CLIENTS }, fill));
  agent.destroy();
}

/** Asks until `isOver`, and then until every removal that failed has been repeated. */
export async function makeLoad(world: World, replicas: readonly Replica[], isOver: () => boolean): Promise<Tally> {
  const agent = new Agent({ keepAlive: true, maxSockets: 4 * CLIENTS });
  const tally: Tally = {
    requests: 0,
    aborted: 0,
    answers: new Map(),
    lost: [],
    wrong: [],
    falseSuccesses: 0,
    repaired: 0,
    unrepaired: 0,
    latenciesMs: [],
  };
  const repairs = new Set<Promise<void>>();

  async function ask(what: Ask): Promise<number | undefined> {
    tally.requests += 1;
    const began = performance.now();
    const end = await exchange(agent, pick(replicas).url, what);
    if (end === 'aborted') {
      tally.aborted += 1;
      return undefined;
    }
    if (typeof end === 'string') {
      tally.lost.push(`${what.kind}: ${end}`);
      return undefined;
    }
    tally.latenciesMs.push(performance.now() - began);
    const name = `${what.kind} ${end}`;
    tally.answers.set(name, (tally.answers.get(name) ?? 0) + 1);
    if (!what.expected.includes(end) && end !== 503 && end !== 429) tally.wrong.push(name);
    if (end === 201 && what.user !== undefined && world.backend.isMember(what.user)) tally.falseSuccesses += 1;
    return end;
  }

  /** A removal that failed, or whose client hung up, is asked for again until it succeeds. */
  async function repair(first: Ask): Promise<void> {
    const { abortsAfterMs: _, ...what } = first;
    for (let repeat = 0; repeat < REPEATS; repeat += 1) {
      await sleep(REPEAT_PAUSE_MS);
      const bearer = await tokenFor({ user_id: `patient-${repeat}` }, world);
      if ((await ask({ ...what, kind: 'repeat', bearer })) !== 201) continue;
      tally.repaired += 1;
      giveBack(what.user);
      return;
    }
    tally.unrepaired += 1;
  }

  function giveBack(user = ''): void {
    world.backend.forget(user);
    freeMembers.push(user);
  }

  async function client(): Promise<void> {
    while (!isOver()) {
      const what = await choose()(world);
      const status = await ask(what);
      if (status === 201 && what.user !== undefined) giveBack(what.user);
      else if (what.user !== undefined) {
        const work = repair(what).finally(() => repairs.delete(work));
        repairs.add(work);
      }
      await sleep(Math.random() * 2 * PAUSE_MS);
    }
  }

  await Promise.all(Array.from({ length: CLIENTS }, client));
  await Promise.all(repairs);
  agent.destroy();
  return tally;
}

/** The status; `aborted` by this client; or why there was none. */
function exchange(agent: Agent, url: string, what: Ask): Promise<number | string> {
  const { hostname, port } = new URL(url);
  const headers = what.bearer === undefined ? {} : { Authorization: `bearer ${what.bearer}` };
  return new Promise((resolve) => {
    let isAborted = false;
    const { method, path } = what;
    const outgoing = request({ agent, hostname, port, method, path, headers }, (incoming) => {
      incoming.resume();
      incoming.on('end', () => resolve(incoming.statusCode ?? 0));
      incoming.on('error', (error) => resolve(isAborted ? 'aborted' : String(error)));
    });
    const timer = setTimeout(() => {
      isAborted = what.abortsAfterMs !== undefined;
      outgoing.destroy(new Error('no answer in time'));
    }, what.abortsAfterMs ?? PATIENCE_MS);
    outgoing.on('error', (error) => resolve(isAborted ? 'aborted' : String(error)));
    outgoing.on('close', () => clearTimeout(timer));
    outgoing.end();
  });
}
