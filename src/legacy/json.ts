/** The legacy server's JSON, byte for byte: MultiJson over Yajl, pretty-printed (legacy.md, section 2.3). */

const ESCAPE = /\\(?:u00[0-9a-f]{2}|.)/g;

/** 2-space indent, LF, UTF-8 raw, `/` not escaped, no trailing newline. Takes no empty array or object: Yajl prints those differently. */
export function toLegacyJson(value: object): string {
  const json = JSON.stringify(value, null, 2);
  // Yajl writes control characters with upper-case hex digits, JSON.stringify with lower-case ones.
  return json.includes('\\u00')
    ? json.replace(ESCAPE, (found) => (found.length === 6 ? `\\u${found.slice(2).toUpperCase()}` : found))
    : json;
}
