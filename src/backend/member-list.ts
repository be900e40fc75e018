/**
 * Whether a user is in the member list. A list that is not known to be whole never shows that somebody is absent: some
 * versions of the backend page it, some ignore `limit` and `offset`, some do not say the total (backend.md, section 1).
 */
import { Buffer } from 'node:buffer';
import * as v from 'valibot';
import { type BackendCall, type BackendHost, startProgress } from './host.ts';
import { parseObject } from './json-body.ts';

export type Membership = 'listed' | 'absent' | 'unreadable';

/** The most that the backend gives at once. */
const PAGE_LENGTH = 100;

/** Over all pages. */
const MOST_BYTES = 16 * 1024 * 1024;

/** An id of another form could be our user's all the same: then nobody can be found absent. */
const UserId = v.pipe(v.string(), v.toLowerCase(), v.regex(/^[\da-f]{8}(?:-[\da-f]{4}){3}-[\da-f]{12}$/));

const Count = v.pipe(v.number(), v.integer(), v.minValue(0));

const MemberPage = v.object({
  count: Count,
  meta: v.nullish(v.object({ total: Count })),
  members: v.array(v.object({ id: UserId })),
});

/** Looks for `userId` (in lower case) on every page. */
export async function findMember(
  host: BackendHost,
  authorization: string,
  userId: string,
  call: BackendCall,
): Promise<Membership> {
  const seen = new Set<string>();
  let bytesLeft = MOST_BYTES;
  let expected = 0;
  let total: number | undefined;
  for (;;) {
    const path = `/organization/members?limit=${PAGE_LENGTH}&offset=${seen.size}`;
    const request = { method: 'GET', path, authorization, maxBytes: bytesLeft } as const;
    const sent = await host.send(request, call, startProgress());
    if (sent.kind !== 'answer' || sent.answer.status !== 200 || sent.answer.isTruncated) return 'unreadable';
    const page = v.safeParse(MemberPage, parseObject(sent.answer.body));
    if (!page.success) return 'unreadable';
    const { count, meta, members } = page.output;
    bytesLeft -= Buffer.byteLength(sent.answer.body);

    const known = seen.size;
    for (const { id } of members) seen.add(id);
    if (seen.has(userId)) return 'listed';
    // A list that changes from page to page may have moved our user past the one that is being read.
    if (count < members.length || (known > 0 && meta?.total !== total)) return 'unreadable';
    total = meta?.total;
    expected = Math.max(expected, count, total ?? 0);
    const isWhole = seen.size >= expected;
    if (isWhole && total !== undefined) return 'absent';
    if (seen.size > known) continue;
    // The same full page once more: `offset` was ignored, and nobody knows what `limit` cut off.
    return isWhole && members.length !== PAGE_LENGTH ? 'absent' : 'unreadable';
  }
}
