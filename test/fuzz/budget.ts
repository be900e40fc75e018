/**
 * How much is tried. In CI a fixed number of cases from a fixed seed, the committed ones (`corpus/`) before them. With
 * FUZZ_SECONDS (`npm run fuzz`) each property runs for as long, from a seed of its own, which a failure names.
 */
import { readFileSync } from 'node:fs';

const SECONDS = Number(process.env['FUZZ_SECONDS'] ?? 0);

/** Of the contract's page. */
const SEED = 20141124;

/** What a failing case may take to be made smaller, and a busy machine. */
const ROOM_MS = 120_000;

export const FUZZ_TIMEOUT_MS = SECONDS * 1000 + ROOM_MS;

/** For `fc.assert`. `numRuns` is CI's; `examples` come first. */
export function toBudget<Case>(numRuns: number, examples: readonly Case[]) {
  const common = { examples: examples.map((example): [Case] => [example]) };
  if (SECONDS === 0) return { ...common, seed: SEED, numRuns: numRuns + examples.length };
  const seed = Number(process.env['FUZZ_SEED'] ?? Date.now() % 2 ** 31);
  return { ...common, seed, numRuns: Number.MAX_SAFE_INTEGER, interruptAfterTimeLimit: SECONDS * 1000 };
}

/** Cases that were found once, or are worth more than one chance in a million. Each says why it is here. */
export function readCorpus<Case>(name: string): Case[] {
  return JSON.parse(readFileSync(`test/fuzz/corpus/${name}.json`, 'utf8')) as Case[];
}
