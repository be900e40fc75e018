/** The Transport of Workers, over `fetch`. On Node: `undici.ts`, which costs a tenth of it and has a cap on connections. */
import { type HttpAnswer, type HttpRequest, type Transport, TransportError } from './transport.ts';

/**
 * `fetch` does not tell a connection that was refused from one that ended later, so every loss is a `reset`: the
 * request may have been sent. Each exchange belongs to the request that makes it, as Workers demand.
 */
export function createFetchTransport(fetchLike: typeof fetch): Transport {
  return async (request) => {
    const deadline = new AbortController();
    const timer = setTimeout(() => deadline.abort(), request.timeoutMs);
    try {
      return await exchange(fetchLike, request, deadline.signal);
    } catch (cause) {
      throw new TransportError(deadline.signal.aborted ? 'timeout' : 'reset', { cause });
    } finally {
      clearTimeout(timer);
    }
  };
}

async function exchange(fetchLike: typeof fetch, request: HttpRequest, signal: AbortSignal): Promise<HttpAnswer> {
  const { method, url, headers, body, maxBytes } = request;
  const init: RequestInit & { readonly cache: 'no-store' } = {
    method,
    headers,
    body: body ?? null,
    redirect: 'manual',
    // Cloudflare may answer a GET from its own cache: a member list must be the backend's.
    cache: 'no-store',
    signal,
  };
  const response = await fetchLike(url, init);
  return {
    status: response.status,
    header: (name) => response.headers.get(name) ?? undefined,
    ...(await readBody(response, maxBytes)),
  };
}

async function readBody(response: Response, maxBytes: number): Promise<Pick<HttpAnswer, 'body' | 'isTruncated'>> {
  if (response.body === null) return { body: '', isTruncated: false };
  const decoder = new TextDecoder();
  const reader = response.body.getReader();
  let body = '';
  let room = maxBytes;
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return { body: body + decoder.decode(), isTruncated: false };
    body += decoder.decode(value.subarray(0, room), { stream: true });
    room -= value.byteLength;
    if (room < 0) {
      // Not awaited: some servers never let go, and nothing of it is of interest.
      reader.cancel().catch(() => undefined);
      return { body: body + decoder.decode(), isTruncated: true };
    }
  }
}
