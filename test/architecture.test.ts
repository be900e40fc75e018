/** Which part may import which (design/house.md): imports point towards the contract, never back, and never in a circle. */
import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join, normalize } from 'node:path';
import { describe, expect, it } from 'vitest';

const SOURCES = new Map(
  readdirSync('src', { recursive: true, encoding: 'utf8' })
    .filter((file) => file.endsWith('.ts'))
    .map((file) => [file, readFileSync(join('src', file), 'utf8')]),
);

/** Modules that `file` imports, types included: `legacy/errors.ts` for a file, `node:fs` or `jose` for anything else. */
function importsOf(file: string): string[] {
  const found = [...(SOURCES.get(file) ?? '').matchAll(/^(?:import|export)[^;]*?from '([^']+)'/gms)];
  return found.map(([, name = '']) => (name.startsWith('.') ? normalize(join(dirname(file), name)) : name));
}

function reachableFrom(file: string, seen = new Set<string>()): Set<string> {
  for (const next of importsOf(file)) {
    if (seen.has(next)) continue;
    seen.add(next);
    reachableFrom(next, seen);
  }
  return seen;
}

/** For each folder, the only things its files may import. */
const ALLOWED: Record<string, RegExp> = {
  'failure.ts': /^$/,
  'legacy/': /^(failure\.ts|legacy\/)/,
  'policy/':
    /^(failure\.ts|maybe-promise\.ts|breaker\.ts|scope\.ts|legacy\/|policy\/|telemetry\/(log|meter)\.ts|jose|lru-cache)/,
  'call.ts': /^(failure\.ts|legacy\/|policy\/|telemetry\/request-log\.ts)/,
  'admission.ts': /^(call\.ts|failure\.ts|maybe-promise\.ts|legacy\/|policy\/)/,
  'pipeline.ts': /^(admission\.ts|call\.ts|failure\.ts|maybe-promise\.ts|legacy\/|policy\/|backend\/client\.ts)/,
};

describe('imports', () => {
  for (const [where, allowed] of Object.entries(ALLOWED)) {
    it(`of ${where} stay within ${allowed.source}`, () => {
      const files = [...SOURCES.keys()].filter((file) => file.startsWith(where));
      expect(files).not.toEqual([]);
      for (const file of files) {
        for (const name of importsOf(file)) expect.soft(name, `imported by ${file}`).toMatch(allowed);
      }
    });
  }

  it('form no circle', () => {
    for (const file of SOURCES.keys()) expect.soft(reachableFrom(file).has(file), file).toBe(false);
  });

  it('of the production entries never reach the sandbox', () => {
    for (const entry of ['node.ts', 'worker.ts', 'directory-command.ts']) {
      const reached = [...reachableFrom(entry)];
      expect(reached).toContain('failure.ts');
      expect(reached.filter((file) => file.startsWith('sandbox/'))).toEqual([]);
    }
  });

  it('of the Worker never reach what only Node has', () => {
    const reached = reachableFrom('worker.ts');
    for (const name of ['node:fs', 'undici', 'prom-client', '@hono/node-server']) {
      expect.soft(reached.has(name), name).toBe(false);
    }
  });
});

describe('legacy/ and policy/', () => {
  it('touch no clock, no process, no Buffer and no fetch', () => {
    for (const [file, text] of SOURCES) {
      if (!/^(legacy|policy)\//.test(file)) continue;
      const code = text.replace(/\/\*[\s\S]*?\*\/|\/\/.*$/gm, '');
      expect.soft(code, file).not.toMatch(/\b(fetch\(|process\.|Buffer\.|Date\.now|new Date\(\)|performance\.)/);
    }
  });
});
