/** The headers of every legacy answer, and the rules of the request id (legacy.md, section 5; decisions.md, section 3). */

const INBOUND_ID_MAX_LENGTH = 255;

/** `<inbound>::<uuid>`, or the fresh `uuid` alone where nothing usable came in. */
export function toRequestId(inbound: string | null | undefined, uuid: string): string {
  const cleaned = inbound?.replace(/[^A-Za-z0-9_-]/g, '').slice(0, INBOUND_ID_MAX_LENGTH);
  return cleaned ? `${cleaned}::${uuid}` : uuid;
}

/** In the order of the page. `contentLength`: bytes of the body; `null` for a bodiless answer (204), which has no Content-Type either. */
export function toLegacyHeaders(requestId: string, contentLength: number | null): Record<string, string> {
  if (contentLength === null) return { 'X-VCAP-Request-ID': requestId, 'X-Content-Type-Options': 'nosniff' };
  return {
    'Content-Type': 'application/json;charset=utf-8',
    'X-VCAP-Request-ID': requestId,
    'Content-Length': `${contentLength}`,
    'X-Content-Type-Options': 'nosniff',
  };
}
