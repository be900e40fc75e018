/** What the README says of variables, failure modes and files is what the code says. */
import { existsSync, readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { VARIABLES } from '../src/config/variables.ts';
import { PROFILE_NAMES } from '../src/legacy/profiles.ts';
import { toFailureModesTable } from './fault/failure-modes.ts';

const README = readFileSync('README.md', 'utf8');
const MANIFEST = JSON.parse(readFileSync('package.json', 'utf8')) as { scripts: Record<string, string> };

/** What stands between `<!-- name: … -->` and `<!-- /name -->`. */
function section(name: string): string {
  return (
    new RegExp(`<!-- ${name}:.*-->\\n([\\s\\S]*?)<!-- /${name} -->`).exec(README)?.[1]?.trim() ?? 'no such section'
  );
}

describe('the README', () => {
  it('has the variables that the configuration has, with their defaults and runtimes', () => {
    const rows = section('variables').split('\n').slice(2);
    const found = rows.map((row) => {
      const [name, , unset, runtime] = row
        .split(/(?<!\\)\|/)
        .slice(1, -1)
        .map((cell) => cell.trim());
      return { name: name?.replaceAll('`', ''), unset, runtime };
    });
    const runtimes = { both: 'both', node: 'Node', workers: 'Workers' } as const;
    const expected = VARIABLES.map((variable) => ({
      name: variable.name,
      unset: 'default' in variable ? `\`${variable.default}\`` : variable.unset,
      runtime: runtimes[variable.runtime],
    }));
    expect(found).toEqual(expected);
  });

  it('has the failure modes that the fault matrix runs', () => {
    expect(section('failure-modes')).toBe(toFailureModesTable().trim());
  });

  it('names every profile', () => {
    for (const name of PROFILE_NAMES) expect(README).toContain(`\`${name}\``);
  });

  it('links only files that are there', () => {
    const links = [...README.matchAll(/\]\(([^)#]+)\)/g)]
      .map(([, target = '']) => target)
      .filter((target) => !/^https?:/.test(target));
    expect(links.length).toBeGreaterThan(10);
    expect(links.filter((target) => !existsSync(target))).toEqual([]);
  });

  it('names only commands that are there', () => {
    const named = [...README.matchAll(/npm run ([a-z][a-z:-]*)/g)].map(([, name = '']) => name);
    expect(named.filter((name) => !(name in MANIFEST.scripts))).toEqual([]);
  });
});
