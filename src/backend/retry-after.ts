/** Retry-After (RFC 9110, section 10.2.3): whole seconds, or an HTTP-date. */

/** Nothing that is asked for may keep a client away for longer: a day, as the longest limit of our own. */
const LONGEST_MS = 86_400_000;

/** RFC 9110, section 5.6.7: the preferred form, RFC 850's and asctime's. `Date.parse` alone would take almost anything. */
const HTTP_DATE = /^(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun)[a-z]*,? [\w :-]+$/;

/** Milliseconds from `nowMs` (since the epoch), 0 for a past date; `undefined` where it is absent or malformed. */
export function parseRetryAfterMs(value: string | undefined, nowMs: number): number | undefined {
  if (value === undefined) return undefined;
  if (/^\d+$/.test(value)) return Math.min(Number(value) * 1_000, LONGEST_MS);
  if (!HTTP_DATE.test(value)) return undefined;
  // asctime names no zone, and means UTC.
  const at = Date.parse(value.endsWith(' GMT') ? value : `${value} GMT`);
  return Number.isNaN(at) ? undefined : Math.min(Math.max(at - nowMs, 0), LONGEST_MS);
}
