/** The query parameters that every legacy operation reads. All others are ignored (legacy.md, section 1.3). */
import { fail, type Result, succeed } from '../failure.ts';

/** Holdover inlines nothing: a depth above 0, or one that is not an integer, is refused before anything happens. */
export function checkInlineRelationsDepth(query: URLSearchParams): Result<void> {
  // Rack keeps the last of a repeated parameter.
  const depth = query.getAll('inline-relations-depth').at(-1);
  if (depth === undefined || (/^[+-]?\d+$/.test(depth) && Number(depth) <= 0)) return succeed(undefined);
  return fail({ kind: 'query-invalid', parameter: 'inline-relations-depth' });
}
