/** The backend's bodies as JSON objects. What comes may be anything: HTML, nothing, half of it (backend.md, section 3). */

export type JsonObject = Readonly<Record<string, unknown>>;

/** `undefined` where `body` is not one JSON object, and nothing else. */
export function parseObject(body: string): JsonObject | undefined {
  try {
    return toObject(JSON.parse(body));
  } catch {
    return undefined;
  }
}

export function toObject(value: unknown): JsonObject | undefined {
  return typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as JsonObject) : undefined;
}

export function toText(value: unknown): string | undefined {
  return typeof value === 'string' ? value : undefined;
}
