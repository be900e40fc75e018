/** What goes wrong during the soak, one after the other, with time to recover in between. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { World } from './world.ts';

interface Trouble {
  readonly name: string;
  begin(world: World): unknown;
  end?(world: World): unknown;
  /** How long it lasts; what takes no time has none. */
  readonly ms?: number;
}

const TROUBLES: readonly Trouble[] = [
  { name: 'Redis frozen', begin: ({ redis }) => redis.freeze(), end: ({ redis }) => redis.thaw(), ms: 2_000 },
  {
    name: 'backend resets',
    begin: (world) => world.backendProxy.break({ kind: 'cut', afterBytes: 20 }),
    end: heal,
    ms: 500,
  },
  { name: 'directory reloaded', begin: (world) => world.loadDirectory() },
  { name: 'backend answers 503', begin: ({ backend }) => backend.play(() => ({ status: 503 })), end: heal, ms: 1_000 },
  {
    name: 'Redis killed, restarted empty, loaded again',
    begin: ({ redis }) => redis.kill(),
    async end({ redis, loadDirectory }) {
      await redis.restart();
      await sleep(500);
      await loadDirectory();
    },
    ms: 2_000,
  },
  { name: 'key rotated', begin: (world) => world.rotateKey() },
  { name: 'backend stalls', begin: (world) => world.backendProxy.break({ kind: 'freeze' }), end: heal, ms: 2_000 },
  {
    name: 'backend acts, and half of its answers are lost',
    begin: ({ backend }) =>
      backend.play((_call, act) => {
        const truth = act();
        return Math.random() < 0.5 ? { status: 502 } : truth;
      }),
    end: heal,
    ms: 2_000,
  },
  {
    name: 'token endpoint refuses',
    begin: (world) => world.tokenProxy.break({ kind: 'refuse' }),
    end: heal,
    ms: 2_000,
  },
  {
    name: 'backend slow',
    begin: (world) => world.backendProxy.break({ kind: 'delay', ms: 300 }),
    end: heal,
    ms: 2_000,
  },
  { name: 'scripts flushed', begin: ({ redis }) => redis.client().script('FLUSH') },
  {
    name: 'key server down',
    begin: ({ keys }) => keys.answer(500, ''),
    end: ({ publishKeys }) => publishKeys(),
    ms: 2_000,
  },
  { name: 'backend refuses', begin: (world) => world.backendProxy.break({ kind: 'refuse' }), end: heal, ms: 1_000 },
];

async function heal({ backend, backendProxy, tokenProxy }: World): Promise<void> {
  backend.play();
  await Promise.all([backendProxy.heal(), tokenProxy.heal()]);
}

const CALM_MS = 3_000;

/** Until `isOver`; resolves when all is whole again, with how often there was trouble. */
export async function makeTrouble(world: World, isOver: () => boolean): Promise<ReadonlyMap<string, number>> {
  const counts = new Map<string, number>();
  for (let index = 0; ; index += 1) {
    await sleep(CALM_MS);
    if (isOver()) return counts;
    const { name, begin, end, ms } = TROUBLES[index % TROUBLES.length] as Trouble;
    counts.set(name, (counts.get(name) ?? 0) + 1);
    await begin(world);
    if (ms !== undefined) await sleep(ms);
    await end?.(world);
  }
}
