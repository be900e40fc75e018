/** The W3C trace context of a call (https://www.w3.org/TR/trace-context/): passed on, or begun. */

/** What a later version may append is bounded, and can become a header value again. */
const TRACEPARENT = /^([\da-f]{2})-([\da-f]{32})-([\da-f]{16})-[\da-f]{2}(-[\x21-\x7e]{0,256})?$/;
const ALL_ZERO = /^0+$/;

/** A valid `inbound` as it came; else a trace of its own, named by `requestId` (a UUID) and not sampled: nothing here records it. */
export function toTraceparent(inbound: string | undefined, requestId: string): string {
  if (inbound !== undefined && isValid(inbound)) return inbound;
  const traceId = requestId.replaceAll('-', '').toLowerCase();
  return `00-${traceId}-${traceId.slice(16)}-00`;
}

function isValid(traceparent: string): boolean {
  const [, version, traceId = '', parentId = '', rest] = TRACEPARENT.exec(traceparent) ?? [];
  // Only a later version may have more fields than 00.
  if (version === undefined || version === 'ff' || (version === '00' && rest !== undefined)) return false;
  return !ALL_ZERO.test(traceId) && !ALL_ZERO.test(parentId);
}
