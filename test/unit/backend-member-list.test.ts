/** "Not in the list" is said only of a list that is known to be whole. */
import fc from 'fast-check';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { OTHER_USER_ID, openTestBackend, type TestBackend, USER_ID } from '../support/backend-client.ts';
import { type ScriptedBackend, type Step, startScriptedBackend } from '../support/scripted-backend.ts';

let backend: ScriptedBackend;
let client: TestBackend;
beforeAll(async () => {
  backend = await startScriptedBackend();
});
afterAll(() => backend.close());
beforeEach(() => {
  client = openTestBackend(backend);
});
afterEach(() => client.close());

const MISSING: Step = { status: 404, body: { message: 'm' } };

function idOf(number: number): string {
  return `00000000-0000-4000-8000-${number.toString(16).padStart(12, '0')}`;
}

const ids = (length: number, from = 0) => Array.from({ length }, (_, index) => idOf(from + index));

interface Page {
  readonly ids: readonly string[];
  readonly total?: number | null;
  readonly count?: number;
}

function toStep({ ids, total, count = ids.length }: Page): Step {
  const meta = total === undefined ? {} : { meta: total === null ? null : { total, limit: 100, offset: 0 } };
  return { status: 200, body: { count, ...meta, members: ids.map((id) => ({ id, email: 'a@example.com' })) } };
}

/** The outcome of a removal that is answered 404, where the list has these pages and is asked for all of them. */
async function outcomeOf(...pages: readonly (Page | Step)[]): Promise<string> {
  backend.play({ remove: [MISSING], members: pages.map((page) => ('ids' in page ? toStep(page) : page)) });
  const { outcome } = await client.remove();
  backend.verify();
  return outcome;
}

describe('shows that the user is not there', () => {
  it('on one page, by its total', async () => {
    expect(await outcomeOf({ ids: ids(3), total: 3 })).toBe('not_a_member');
  });

  it('over several pages, by the total', async () => {
    const pages = [ids(100), ids(100, 100), ids(50, 200)].map((page) => ({ ids: page, total: 250 }));
    expect(await outcomeOf(...pages)).toBe('not_a_member');
    expect(backend.callsTo('members').map(({ target }) => target.split('?')[1])).toEqual([
      'limit=100&offset=0',
      'limit=100&offset=100',
      'limit=100&offset=200',
    ]);
  });

  it('over pages that are shorter than was asked for', async () => {
    const pages = [ids(10), ids(10, 10), ids(5, 20)].map((page) => ({ ids: page, total: 25 }));
    expect(await outcomeOf(...pages)).toBe('not_a_member');
    expect(backend.callsTo('members').at(-1)?.target).toContain('offset=20');
  });

  it.each([undefined, null])('where the total is not said (%s), and the next page is empty', async (total) => {
    const page = total === undefined ? {} : { total };
    expect(await outcomeOf({ ids: ids(100), ...page }, { ids: ids(7, 100), ...page }, { ids: [], ...page })).toBe(
      'not_a_member',
    );
  });

  it('where limit and offset are ignored, and everything comes at once', async () => {
    expect(await outcomeOf({ ids: ids(250), total: 250 })).toBe('not_a_member');
    expect(await outcomeOf({ ids: ids(250) }, { ids: ids(250) })).toBe('not_a_member');
    expect(await outcomeOf({ ids: ids(7) }, { ids: ids(7) })).toBe('not_a_member');
  });

  it('by ids in any case', async () => {
    expect(await outcomeOf({ ids: [OTHER_USER_ID.toUpperCase()], total: 1 })).toBe('not_a_member');
  });

  it('where there is nobody', async () => {
    expect(await outcomeOf({ ids: [], total: 0 })).toBe('not_a_member');
    expect(await outcomeOf({ ids: [] })).toBe('not_a_member');
  });
});

describe('does not show it', () => {
  it('where the user is on a later page, in any case', async () => {
    expect(
      await outcomeOf({ ids: ids(100), total: 200 }, { ids: [...ids(99, 100), USER_ID.toUpperCase()], total: 200 }),
    ).toBe('unknown');
  });

  it('where a page brings nothing new before the total is reached', async () => {
    expect(await outcomeOf({ ids: ids(100), total: 101 }, { ids: [], total: 101 })).toBe('unknown');
    expect(await outcomeOf({ ids: ids(100), total: 250 }, { ids: ids(100), total: 250 })).toBe('unknown');
  });

  it('where it counts more than it brings', async () => {
    expect(await outcomeOf({ ids: ids(3), count: 4 }, { ids: ids(3), count: 4 })).toBe('unknown');
    expect(await outcomeOf({ ids: ids(100), count: 250 }, { ids: [], count: 0 })).toBe('unknown');
    expect(await outcomeOf({ ids: ids(3), count: 4, total: 3 }, { ids: [], count: 0, total: 3 })).toBe('unknown');
  });

  it('where it brings more than it counts', async () => {
    expect(await outcomeOf({ ids: ids(4), count: 3, total: 4 })).toBe('unknown');
  });

  it('where an id stands twice, so that one is missing', async () => {
    expect(await outcomeOf({ ids: [...ids(2), idOf(1)], total: 3 }, { ids: [], total: 3 })).toBe('unknown');
  });

  it('where the total changes from one page to the next', async () => {
    expect(await outcomeOf({ ids: ids(100), total: 150 }, { ids: ids(49, 101), total: 149 })).toBe('unknown');
    expect(await outcomeOf({ ids: ids(100), total: 150 }, { ids: ids(50, 100) })).toBe('unknown');
  });

  it('where a full page comes again, and nobody says how many there are', async () => {
    expect(await outcomeOf({ ids: ids(100) }, { ids: ids(100) })).toBe('unknown');
  });

  it.each<[string, Step]>([
    ['an error', { status: 500 }],
    ['forbidden', { status: 403, body: { message: 'm' } }],
    ['a refused token', { status: 401 }],
    ['a redirect', { status: 302, headers: { location: '/' } }],
    ['another success', { ...toStep({ ids: [], total: 0 }), status: 206 }],
    ['nothing', { status: 200 }],
    ['HTML', { status: 200, body: '<html>' }],
    ['an array', { status: 200, body: [] }],
    ['no members', { status: 200, body: { count: 0 } }],
    ['no count', { status: 200, body: { members: [] } }],
    ['a count that is no number', { status: 200, body: { count: '0', members: [] } }],
    ['a total that is no number', { status: 200, body: { count: 0, members: [], meta: { total: '0' } } }],
    ['members that are no list', { status: 200, body: { count: 0, members: {} } }],
    ['a member without an id', { status: 200, body: { count: 1, members: [{ email: 'a@example.com' }] } }],
    ['ids of another form', { status: 200, body: { count: 1, meta: { total: 1 }, members: [{ id: 'auth0|123' }] } }],
    ['a cut list', { ...toStep({ ids: ids(3), total: 3 }), fault: 'cut', afterBytes: 200, times: 3 }],
    [
      'more than 16 MiB',
      { status: 200, body: { count: 0, members: [], meta: { total: 0 }, x: 'x'.repeat(16 * 1024 * 1024) } },
    ],
  ])('where it is unreadable: %s', async (_, step) => {
    expect(await outcomeOf(step)).toBe('unknown');
  });

  it('where what was read of it makes sense, and was not all', async () => {
    const list = JSON.stringify(toStep({ ids: [], total: 0 }).body);
    expect(await outcomeOf({ status: 200, body: `${list}${' '.repeat(16 * 1024 * 1024)}<html>` })).toBe('unknown');
  });

  it('where it is more than 16 MiB over all pages', async () => {
    const padded = (page: Page) => ({
      ...toStep(page),
      body: { ...(toStep(page).body as object), x: 'x'.repeat(7 * 1024 * 1024) },
    });
    const pages = [0, 1, 2].map((number) => padded({ ids: ids(1, number), total: 3 }));
    expect(await outcomeOf(...pages)).toBe('unknown');
  });

  it('where it does not come before the deadline', async () => {
    const hurried = openTestBackend(backend, { timeoutMs: 200 });
    backend.play({ remove: [MISSING], members: [toStep({ ids: ids(100), total: 200 }), { fault: 'stall' }] });
    expect(await hurried.remove()).toMatchObject({ outcome: 'unknown', tries: 1, backendStatus: 404 });
    await hurried.close();
  });
});

it('whatever a backend makes of limit and offset, nobody who is there is found absent', async () => {
  const backendKind = fc.record({
    size: fc.nat(230),
    userAt: fc.option(fc.nat(230), { nil: undefined }),
    limits: fc.constantFrom(true, false),
    offsets: fc.constantFrom(true, false),
    mostPerPage: fc.constantFrom(10, 50, 100),
    saysTotal: fc.boolean(),
  });
  await fc.assert(
    fc.asyncProperty(backendKind, async ({ size, userAt, limits, offsets, mostPerPage, saysTotal }) => {
      const everybody = [...ids(size)];
      const isThere = userAt !== undefined && userAt < size;
      if (isThere) everybody[userAt] = USER_ID;
      backend.play(({ endpoint, target }) => {
        if (endpoint !== 'members') return endpoint === 'remove' ? MISSING : undefined;
        const query = new URL(target, 'http://x').searchParams;
        const from = offsets ? Number(query.get('offset')) : 0;
        const page = everybody.slice(
          from,
          limits ? from + Math.min(mostPerPage, Number(query.get('limit'))) : undefined,
        );
        return toStep({ ids: page, ...(saysTotal ? { total: size } : {}) });
      });
      const { outcome } = await client.remove();
      // A backend that cuts its list short and says neither where nor how long it is looks like one that shows it all.
      const isUndetectable = limits && !offsets && !saysTotal && mostPerPage !== 100;
      if (isThere && !isUndetectable) expect(outcome).toBe('unknown');
      if (!isThere && offsets) expect(outcome).toBe('not_a_member');
      expect(['not_a_member', 'unknown']).toContain(outcome);
    }),
    { seed: 20_260_102, numRuns: 150 },
  );
});

it('says that the user is listed as soon as a page shows it', async () => {
  expect(await outcomeOf({ ids: [OTHER_USER_ID, USER_ID], total: 500 })).toBe('unknown');
});
