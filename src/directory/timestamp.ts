/** Times in the directory: RFC 3339 with whole seconds and any offset. How the legacy contract shows them: `legacy/era.ts`. */

/** Fractions are refused: the legacy server never had any (legacy.md, section 2.2), and rounding would be an invention. */
const RFC_3339 = /^(\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2})(?:Z|([+-])([01]\d|2[0-3]):([0-5]\d))$/i;

/** Four digits of year, also in UTC: what the legacy timestamps have room for. */
const MIN_SECONDS = Date.UTC(1000, 0, 1) / 1000;
const MAX_SECONDS = Date.UTC(9999, 11, 31, 23, 59, 59) / 1000;

/** Seconds since the epoch; undefined where `text` is no such time. */
export function parseTimestamp(text: string): number | undefined {
  const match = RFC_3339.exec(text);
  if (match === null) return undefined;
  const [, local = '', sign, hours, minutes] = match;
  const ms = Date.parse(`${local}Z`);
  // Date.parse takes 30 February for 2 March, and 24:00 for the next day.
  if (Number.isNaN(ms) || new Date(ms).toISOString().slice(0, 19) !== local.toUpperCase()) return undefined;
  const offsetSeconds = sign === undefined ? 0 : (Number(hours) * 60 + Number(minutes)) * (sign === '-' ? -60 : 60);
  const seconds = ms / 1000 - offsetSeconds;
  return seconds >= MIN_SECONDS && seconds <= MAX_SECONDS ? seconds : undefined;
}

/** `2014-11-24T19:32:37Z`. */
export function toTimestamp(epochSeconds: number): string {
  return `${new Date(epochSeconds * 1000).toISOString().slice(0, 19)}Z`;
}
