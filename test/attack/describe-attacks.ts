/** The tests of one door: each row of the table, on each runtime that it names. */
import { afterAll, beforeAll, describe, it } from 'vitest';
import type { Runtime } from '../support/holdover.ts';
import { ATTACKS, type Door } from './attacks.ts';
import { openSiege, type Siege } from './siege.ts';

const RUNTIMES: readonly Runtime[] = ['node', 'workerd'];

export type Attacks<Name extends Door> = Readonly<Record<keyof (typeof ATTACKS)[Name], (siege: Siege) => unknown>>;

/** A row without its attack does not compile. `prepare` runs before the first of them, on all runtimes at once. */
export function describeAttacks<Name extends Door>(
  door: Name,
  attacks: Attacks<Name>,
  prepare: (siege: Siege) => unknown = () => undefined,
): void {
  const rows = new Map<string, readonly Runtime[]>(Object.entries(ATTACKS[door]));
  const sieges = new Map<Runtime, Siege>();
  beforeAll(async () => {
    for (const runtime of RUNTIMES) sieges.set(runtime, await openSiege(runtime));
    await Promise.all([...sieges.values()].map(prepare));
  });
  afterAll(async () => {
    for (const siege of sieges.values()) await siege.end();
  });
  describe.each(RUNTIMES)('on %s', (runtime) => {
    for (const [name, attack] of Object.entries<(siege: Siege) => unknown>(attacks)) {
      if (!rows.get(name)?.includes(runtime)) continue;
      it(`${door}: ${name}`, async () => void (await attack(sieges.get(runtime) as Siege)));
    }
  });
}
