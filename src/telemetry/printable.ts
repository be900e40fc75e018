/**
 * A JSON line as no terminal and no reader of lines takes it for anything else: JSON escapes control characters only below
 * U+0020. For whoever makes lines: `json-log.ts` and `audit.ts`.
 */
import { Buffer } from 'node:buffer';

/** DEL and C1 (U+009B begins an escape sequence), what Unicode calls line ends, and what turns the direction of text. */
const MISREAD = /[\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]/g;

/** The same JSON. In it such characters can only stand inside strings, where an escape means the same. */
export function toPrintable(json: string): string {
  // ASCII without DEL, as nearly all of it is, holds none of them: to see that costs a quarter of looking for each.
  if (Buffer.byteLength(json) === json.length && !json.includes('\x7f')) return json;
  return json.replace(MISREAD, (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`);
}
