/** Step 3: the body of a call to an adapted route, within its cap and its time. None of it means anything to the operations there are. */
import { fail, type Result, succeed } from './failure.ts';
import type { MaybePromise } from './maybe-promise.ts';

/** Most bytes of a body on an adapted route: none of them means anything to the operations there are. */
const BODY_LIMIT_BYTES = 64 * 1024;

/** Such a body takes no longer than this on any line; one that dribbles holds a connection for no more. */
const BODY_TIMEOUT_MS = 15_000;

/** Step 3. All of the body, where it is no larger than the cap; it is kept only for the origin. A plain Result where there is none. */
export function readBody(request: Request): MaybePromise<Result<Uint8Array>> {
  const length = request.headers.get('content-length');
  const isChunked = request.headers.has('transfer-encoding');
  if (!isChunked && (length === null || length === '0')) return NO_BODY;
  if (!isChunked && Number(length) > BODY_LIMIT_BYTES) return TOO_LARGE;
  return request.body === null ? NO_BODY : readStream(request.body);
}

const NO_BODY = succeed(new Uint8Array(0));

const TOO_LARGE = fail({ kind: 'body-too-large', limitBytes: BODY_LIMIT_BYTES });

async function readStream(body: ReadableStream<Uint8Array>): Promise<Result<Uint8Array>> {
  const reader = body.getReader();
  let isLate = false;
  const timer = setTimeout(() => {
    isLate = true;
    void reader.cancel().catch(() => undefined);
  }, BODY_TIMEOUT_MS);
  try {
    const chunks: Uint8Array[] = [];
    let size = 0;
    for (let next = await reader.read(); !next.done; next = await reader.read()) {
      size += next.value.byteLength;
      if (size > BODY_LIMIT_BYTES) return TOO_LARGE;
      chunks.push(next.value);
    }
    return isLate
      ? fail({ kind: 'request-invalid', reason: 'the body came too slowly' })
      : succeed(concatenate(chunks, size));
  } catch {
    return fail({ kind: 'request-invalid', reason: 'the body was cut off' });
  } finally {
    clearTimeout(timer);
  }
}

function concatenate(chunks: readonly Uint8Array[], size: number): Uint8Array {
  const bytes = new Uint8Array(size);
  let offset = 0;
  for (const chunk of chunks) {
    bytes.set(chunk, offset);
    offset += chunk.byteLength;
  }
  return bytes;
}
