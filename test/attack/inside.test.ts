/** Attacks that are no single request: a million callers, driven into the stores themselves, and what is best read in the text. */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { transformSync } from 'esbuild';
import { describe, expect, it } from 'vitest';
import { parseAst } from 'vitest/node';
import { createDirectory } from '../../src/directory/cache.ts';
import { createMatchRoute, toPathname, toRoutePath } from '../../src/legacy/route.ts';
import { createLocalLimitStore } from '../../src/policy/local-limit-store.ts';
import { createRateLimiter } from '../../src/policy/rate-limiter.ts';
import type { Scope } from '../../src/scope.ts';
import { NO_METER } from '../../src/telemetry/meter.ts';
import { ATTACKS } from './attacks.ts';

const MILLION = 1_000_000;
const QUOTA = { limit: 1, periodSeconds: 3600 };

/** A million keys with their numbers are more than 100 MiB; what the stores promise to keep is some 20. */
const MOST_BYTES = 50 * 1024 * 1024;

const collectGarbage = (() => {
  setFlagsFromString('--expose-gc');
  return runInNewContext('gc') as () => void;
})();

/** Bytes that are still held once `work` is done. */
async function heldAfter(work: () => Promise<unknown>): Promise<number> {
  collectGarbage();
  const before = process.memoryUsage().heapUsed;
  const kept = await work();
  collectGarbage();
  const held = process.memoryUsage().heapUsed - before;
  expect(kept).toBeDefined();
  return held;
}

const toAddress = (index: number) => `2001:db8:${(index >> 16).toString(16)}:${(index & 0xffff).toString(16)}::/64`;

/** Longest text that a client can hand over in one header, and a bound that only what is not linear exceeds. */
const TEXT_LENGTH = 32 * 1024;
const MOST_MS = 300;

/** Not linear, and never shown a long text. */
const BOUNDED = new Map([
  ['%.*$', 'client-address.ts: at most MAX_ENTRY_LENGTH characters'],
  ['\\/+$', 'values.ts: the configuration'],
]);

const SOURCES = readdirSync('src', { recursive: true, encoding: 'utf8' }).filter((file) => file.endsWith('.ts'));

interface Node {
  readonly type: string;
  readonly operator?: string;
  readonly name?: string;
  readonly left?: Node;
  readonly right?: Node;
  readonly property?: Node;
  readonly regex?: { readonly pattern: string; readonly flags: string };
}

/** Every node of the syntax tree of every source, with its file. */
function* allNodes(): Generator<readonly [file: string, node: Node]> {
  for (const file of SOURCES) {
    const { code } = transformSync(readFileSync(join('src', file), 'utf8'), { loader: 'ts', format: 'esm' });
    const nodes: Node[] = [];
    JSON.stringify(parseAst(code), (_key, value) => {
      if (typeof value?.type === 'string') nodes.push(value as Node);
      return typeof value === 'bigint' ? String(value) : value;
    });
    for (const node of nodes) yield [file, node];
  }
}

/** Every regular expression that stands in the sources as a literal. */
function findRegexes(): { readonly file: string; readonly regex: RegExp }[] {
  return [...allNodes()].flatMap(([file, { regex }]) =>
    regex === undefined ? [] : [{ file, regex: new RegExp(regex.pattern, regex.flags) }],
  );
}

/** Where what a client presents is read. */
const READS_CLIENTS = /^(?:admin|app)\.ts|^(?:policy|keys|origin|http)\//;
const SECRET_NAME = /(?:secret|signature|digest|password|token|authorization|presented|expected)$/i;

const isSecret = (side?: Node) =>
  SECRET_NAME.test((side?.type === 'MemberExpression' ? side.property : side)?.name ?? '');
/** A literal, or `undefined`. */
const isWord = (side?: Node) => /^(?:Literal|UnaryExpression)$/.test(side?.type ?? '') || side?.name === 'undefined';

/** What its own characters, and those that its classes stand for, can be repeated to. */
function* toLongTexts({ source }: RegExp): Generator<string> {
  const own = source.replace(/\\[dwsbDWSB]|\\u[\da-fA-F]{4}|\\x[\da-fA-F]{2}/g, '').replace(/\\/g, '');
  const characters = [...new Set([...own, ...'a0 %/.,-:"\n'])];
  const pumps = [
    ...characters,
    ...characters.slice(0, 6).flatMap((one) => characters.slice(0, 6).map((two) => one + two)),
  ];
  const heads = ['', own.replace(/[[\](){}^$*+?|]/g, '').slice(0, 20)];
  for (const pump of pumps) {
    for (const head of heads) yield `${head}${pump.repeat(TEXT_LENGTH / pump.length)}\n\0`;
  }
}

const attacks: Record<keyof typeof ATTACKS.inside, () => unknown> = {
  'a cardinality bomb in the process: a million callers': async () => {
    const store = createLocalLimitStore({ monotonicMs: () => 0, epochMs: () => 0 });
    const held = await heldAfter(async () => {
      for (let index = 0; index < MILLION; index += 1) await store.take(toAddress(index), QUOTA);
      return store;
    });
    expect(held).toBeLessThan(MOST_BYTES);
    // It was not by forgetting whoever came last.
    expect(await store.take(toAddress(MILLION - 1), QUOTA)).toMatchObject({ isAllowed: false });
  },

  'a cardinality bomb in the process: a million refused callers': async () => {
    let asked = 0;
    const refusing = {
      take: async () => {
        asked += 1;
        return { isAllowed: false, fullInMicros: 3_600_000_000, atMicros: 0 };
      },
    };
    const log = { debug() {}, info() {}, warn() {}, error() {} };
    const limiter = createRateLimiter({
      quotas: { caller: QUOTA, address: QUOTA, organization: QUOTA },
      openStore: () => refusing,
      local: refusing,
      localSubjects: [],
      onFailure: 'local',
      monotonicMs: () => 0,
      log,
      meter: NO_METER,
    });
    const take = limiter({} as Scope);
    const held = await heldAfter(async () => {
      for (let index = 0; index < MILLION; index += 1) await take('caller', toAddress(index));
      return take;
    });
    expect(held).toBeLessThan(MOST_BYTES);
    expect(asked).toBe(MILLION);
    await take('caller', toAddress(MILLION - 1));
    expect(asked).toBe(MILLION);
  },

  'a cardinality bomb in the process: ids in targets of 30 KiB': async () => {
    const log = { debug() {}, info() {}, warn() {}, error() {} };
    const version = () => 'v';
    const directory = createDirectory({
      source: {
        organization: async () => ({ value: undefined, version: 'v' }),
        backendUser: async (user) => ({ value: user.toLowerCase(), version: 'v' }),
        allUsers: async () => ({ value: 'one-by-one', version: 'v' }),
        mapsTooMany: () => true,
        describe: () => expect.unreachable(),
        version,
      },
      cacheSeconds: 60,
      monotonicMs: () => 0,
      log,
      meter: NO_METER,
    }).forScope({ waitUntil() {}, redis: () => expect.unreachable(), followerWaitMs: Number.POSITIVE_INFINITY });
    const match = createMatchRoute('/v2/organizations/:organization/users/:user');
    const held = await heldAfter(async () => {
      for (let index = 0; index < 10_000; index += 1) {
        const user = `00000000-0000-4000-8000-${`${index}`.padStart(12, '0')}`;
        const target = `/v2/organizations/invented-${user}/users/${user}?${'q'.repeat(30_000)}`;
        // As a request brings it: one text, of which the ids are cut.
        const ids = match(toRoutePath(toPathname(Buffer.from(target).toString('latin1'))));
        await directory.findOrganization(ids?.get('organization') ?? '');
        expect(await directory.findBackendUser(ids?.get('user') ?? '')).toEqual({ ok: true, value: user });
      }
      return directory;
    });
    expect(held).toBeLessThan(MOST_BYTES);
  },

  'timing of secret comparisons': () => {
    const compared = [...allNodes()].filter(
      ([file, { type, operator = '', left, right }]) =>
        type === 'BinaryExpression' &&
        /^[!=]==?$/.test(operator) &&
        READS_CLIENTS.test(file) &&
        (isSecret(left) || isSecret(right)) &&
        !isWord(left) &&
        !isWord(right),
    );
    expect(
      compared.map(([file, { left, operator, right }]) => `${file}: ${left?.name} ${operator} ${right?.name}`),
    ).toEqual([]);
    // The one secret that a client presents and we hold: by digests of one length, compared whole.
    const admin = readFileSync('src/admin.ts', 'utf8');
    expect(admin).toMatch(/timingSafeEqual\(toDigest\(presented\), expected\)/);
    // Signatures are compared by WebCrypto.
    expect(readFileSync('src/policy/authenticate.ts', 'utf8')).toMatch(/await compactVerify\(token, cryptoKey/);
  },

  'regular expressions that are not linear': () => {
    const found = findRegexes();
    expect(found.length).toBeGreaterThan(30);
    const slow = new Set<string>();
    for (const { file, regex } of found) {
      for (const text of toLongTexts(regex)) {
        regex.lastIndex = 0;
        const startedAt = performance.now();
        text.replace(regex, '');
        const ms = performance.now() - startedAt;
        if (ms > MOST_MS && !BOUNDED.has(regex.source)) slow.add(`${file} ${regex}: ${Math.round(ms)} ms`);
        if (ms > MOST_MS) break;
      }
    }
    expect([...slow]).toEqual([]);
    expect([...BOUNDED.keys()].filter((source) => !found.some(({ regex }) => regex.source === source))).toEqual([]);
  },
};

describe('on node', () => {
  for (const name of Object.keys(ATTACKS.inside) as (keyof typeof attacks)[]) it(`inside: ${name}`, attacks[name]);
});
