/**
 * The body of a key set: UAA's `/token_keys` in each of its ages, and a plain JWK Set (RFC 7517). A key that may not
 * verify tokens is left out and named; when and how the body is fetched: `key-set.ts`.
 */
import { calculateJwkThumbprint } from 'jose';
import * as v from 'valibot';
import type { VerificationKey } from '../policy/authenticate.ts';
import { type FitKey, toFitKey } from './public-jwk.ts';
import { parsePem } from './public-keys.ts';
import { createVerificationKey } from './verification-key.ts';

export interface SetKey {
  readonly kid: string | undefined;
  readonly key: VerificationKey;
  /** The same for the same key and algorithms, under whatever `kid`. */
  readonly identity: string;
}

export interface KeySetContent {
  readonly keys: readonly SetKey[];
  /** Why other keys were left out, in a line that is safe to log; empty where none was. */
  readonly skipped: string;
}

/** Keeps the line short, whatever is published. */
const MAX_NAMED_MISTAKES = 8;

const KeySetBody = v.pipe(v.string(), v.parseJson(), v.object({ keys: v.array(v.unknown()) }));

const Entry = v.looseObject({
  kty: v.string(),
  kid: v.nullish(v.string()),
  alg: v.nullish(v.string()),
  use: v.nullish(v.string()),
  key_ops: v.nullish(v.array(v.string())),
  value: v.nullish(v.string()),
});

type Entry = v.InferOutput<typeof Entry>;

/** UAA named algorithms as Java does until 2015. */
const JAVA_NAMES = new Map([
  ['SHA256withRSA', 'RS256'],
  ['SHA384withRSA', 'RS384'],
  ['SHA512withRSA', 'RS512'],
]);

/** One key is one object, even under two names, and stays it where it was in `previous`. `undefined` where the body is no key set. */
export async function parseKeySet(body: string, previous: readonly SetKey[]): Promise<KeySetContent | undefined> {
  const parsed = v.safeParse(KeySetBody, body);
  if (!parsed.success) return undefined;
  const known = new Map(previous.map(({ identity, key }) => [identity, key]));
  const keys: SetKey[] = [];
  const skipped: string[] = [];
  for (const [index, value] of parsed.output.keys.entries()) {
    const read = await toSetKey(value, known);
    if (typeof read === 'string') skipped.push(`key ${index + 1} is ${read}`);
    else keys.push(read);
  }
  const named = skipped.slice(0, MAX_NAMED_MISTAKES).join('; ');
  return { keys, skipped: skipped.length > MAX_NAMED_MISTAKES ? `${named}; and others` : named };
}

/** Or why it is left out. What is read is known from now on. */
async function toSetKey(value: unknown, known: Map<string, VerificationKey>): Promise<SetKey | string> {
  const entry = v.safeParse(Entry, value);
  if (!entry.success) return 'no JWK';
  const fit = toFitEntry(entry.output);
  if (!fit.isFit) return fit.mistake;
  const identity = `${await calculateJwkThumbprint(fit.jwk)} ${fit.algorithms.join(' ')}`;
  const key = known.get(identity) ?? createVerificationKey(fit.jwk, fit.algorithms);
  try {
    for (const alg of fit.algorithms) await key.toCryptoKey(alg);
  } catch {
    return 'refused by the runtime';
  }
  known.set(identity, key);
  return { kid: entry.output.kid ?? undefined, key, identity };
}

function toFitEntry(entry: Entry): FitKey {
  if (entry.use && entry.use !== 'sig') return refuse('not for signatures');
  if (entry.key_ops && !entry.key_ops.includes('verify')) return refuse('not for verifying');
  // A secret has no place in a document that anybody may read: it verifies nothing, whoever published it.
  if (entry.kty === 'oct' || entry.kty === 'MAC') return refuse('symmetric');
  const fit = entry.value && entry['n'] === undefined ? parsePem(entry.value) : toFitKey(entry);
  if (!fit.isFit || !entry.alg) return fit;
  const alg = JAVA_NAMES.get(entry.alg) ?? entry.alg;
  const algorithms = fit.algorithms.filter((accepted) => accepted === alg);
  return algorithms.length > 0 ? { ...fit, algorithms } : refuse('for an algorithm that is not accepted');
}

function refuse(mistake: string): Extract<FitKey, { isFit: false }> {
  return { isFit: false, mistake };
}
