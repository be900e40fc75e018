/** What the soak's clients ask for, in which shares, and which answers each may get. Asking: `load.ts`. */
import { randomUUID } from 'node:crypto';
import { createEcKey, signToken, toClaims } from '../support/tokens.ts';
import { GUIDS, MANAGERS, type World } from './world.ts';

const CALLERS = 500;

export interface Ask {
  readonly kind: string;
  readonly method: string;
  readonly path: string;
  readonly bearer?: string;
  /** Statuses that it may get; 503 and 429 besides, where something is broken or spent. */
  readonly expected: readonly number[];
  readonly user?: string;
  readonly abortsAfterMs?: number;
}

type Make = (world: World) => Promise<Ask>;

const STRANGER = createEcKey({ kid: 'stranger' });

/** From pools, so that Holdover's caches are soon as full as they get: what grows after that is a leak. */
const newIds = (count: number): string[] => Array.from({ length: count }, () => randomUUID());
export const freeMembers = newIds(3_000);
const NO_MEMBERS = newIds(500);
const NO_ORGANIZATIONS = newIds(200);
export const pick = <Item>(items: readonly Item[]): Item => items[Math.floor(Math.random() * items.length)] as Item;
const aCaller = () => (Math.random() < 0.05 ? 'greedy' : `caller-${Math.floor(Math.random() * CALLERS)}`);
const toPath = (guid: string, user: string) => `/v2/organizations/${guid}/users/${user}`;

/** Clients use a token for as long as it lasts. */
const tokens = new Map<string, { readonly kid: string | undefined; readonly token: string }>();
export async function tokenFor(claims: Readonly<Record<string, unknown>>, { key }: World): Promise<string> {
  const name = JSON.stringify(claims);
  const { kid } = key();
  const held = tokens.get(name);
  if (held !== undefined && held.kid === kid) return held.token;
  const token = await signToken(toClaims(claims), key());
  tokens.set(name, { kid, token });
  return token;
}

const removal: Make = async (world) => {
  const user = freeMembers.shift() ?? randomUUID();
  world.backend.add(user);
  const claims =
    Math.random() < 0.2 ? { user_id: pick(MANAGERS), scope: ['cloud_controller.write'] } : { user_id: aCaller() };
  const bearer = await tokenFor(claims, world);
  return { kind: 'removal', method: 'DELETE', path: toPath(pick(GUIDS), user), bearer, expected: [201], user };
};

export const toRead = (bearer: string): Ask => ({
  kind: 'read',
  method: 'GET',
  path: `/v2/organizations/${pick(GUIDS)}`,
  bearer,
  expected: [200],
});

/** Share of each kind, in percent. */
const MIX: readonly (readonly [number, Make])[] = [
  [60, removal],
  [8, async (world) => ({ ...(await removal(world)), kind: 'abort', abortsAfterMs: Math.random() * 60 })],
  [
    7,
    async (world) => ({
      kind: 'no member',
      method: 'DELETE',
      path: toPath(pick(GUIDS), pick(NO_MEMBERS)),
      bearer: await tokenFor({ user_id: aCaller() }, world),
      expected: [201],
    }),
  ],
  [5, async (world) => toRead(await tokenFor({ user_id: aCaller() }, world))],
  [
    5,
    async (world) => ({
      kind: 'not allowed',
      method: 'DELETE',
      path: toPath(pick(GUIDS), pick(NO_MEMBERS)),
      bearer: await tokenFor({ user_id: aCaller(), scope: ['cloud_controller.write'] }, world),
      expected: [403],
    }),
  ],
  [
    5,
    async (world) => ({
      kind: 'unknown organization',
      method: 'DELETE',
      path: toPath(pick(NO_ORGANIZATIONS), pick(NO_MEMBERS)),
      bearer: await tokenFor({ user_id: aCaller() }, world),
      expected: [404],
    }),
  ],
  [
    5,
    async (world) => ({
      kind: 'bad token',
      method: 'DELETE',
      path: toPath(pick(GUIDS), pick(NO_MEMBERS)),
      bearer: pick([
        'nonsense',
        await tokenFor({ exp: 1 }, world),
        await signToken(toClaims(), STRANGER),
        await tokenFor({ aud: ['other'] }, world),
      ]),
      expected: [401],
    }),
  ],
  [
    2,
    async () => ({ kind: 'no token', method: 'DELETE', path: toPath(pick(GUIDS), pick(NO_MEMBERS)), expected: [401] }),
  ],
  [3, async () => ({ kind: 'no route', method: 'GET', path: `/v3/${randomUUID()}`, expected: [404] })],
];

export function choose(): Make {
  let point = Math.random() * 100;
  for (const [share, make] of MIX) {
    point -= share;
    if (point < 0) return make;
  }
  return removal;
}
