/** Variables that look like ours but are not: most likely typing errors. A warning, never a refusal: platforms inject names of their own. */
import { CREDENTIAL_PREFIX, findVariable, VARIABLES } from './variables.ts';

/** Short names (PORT, HOST, ADAPT) are one letter away from too much that has nothing to do with us. */
const NAME_MIN_LENGTH = 8;

const TYPING_ERRORS_MAX = 2;

export function warnOfNearMisses(names: Iterable<string>): string[] {
  const warnings: string[] = [];
  for (const name of names) {
    if (findVariable(name) !== undefined || name.startsWith(CREDENTIAL_PREFIX)) continue;
    const meant = VARIABLES.find((variable) => isNearMiss(name, variable.name));
    if (meant !== undefined) warnings.push(`${name}: unknown, and not read; did you mean ${meant.name}?`);
  }
  return warnings;
}

function isNearMiss(name: string, known: string): boolean {
  if (known.length < NAME_MIN_LENGTH || Math.abs(name.length - known.length) > TYPING_ERRORS_MAX) return false;
  return countEdits(name.toUpperCase(), known) <= TYPING_ERRORS_MAX;
}

/** Levenshtein's distance. */
function countEdits(from: string, to: string): number {
  let row = Array.from({ length: to.length + 1 }, (_, i) => i);
  for (let i = 1; i <= from.length; i++) {
    const next = [i];
    for (let j = 1; j <= to.length; j++) {
      const substituted = (row[j - 1] ?? 0) + (from[i - 1] === to[j - 1] ? 0 : 1);
      next.push(Math.min(substituted, (row[j] ?? 0) + 1, (next[j - 1] ?? 0) + 1));
    }
    row = next;
  }
  return row[to.length] ?? 0;
}
