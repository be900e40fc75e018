/** Undoes a Content-Encoding within bounds, for the Node transport; `fetch` does it by itself. */
import type { Transform } from 'node:stream';
import { createBrotliDecompress, createGunzip, createInflate } from 'node:zlib';

const DECODERS: ReadonlyMap<string, () => Transform> = new Map([
  ['gzip', createGunzip],
  ['x-gzip', createGunzip],
  ['deflate', createInflate],
  ['br', createBrotliDecompress],
]);

export interface Body {
  readonly bytes: Uint8Array;
  readonly isTruncated: boolean;
}

/**
 * Decodes at most `maxBytes`, so that a decompression bomb stays a small one. An encoding it does not know is left as
 * it is. Rejects where a body that came whole cannot be decoded.
 */
export async function decodeBody(body: Body, encoding: string, maxBytes: number): Promise<Body> {
  const createDecoder = DECODERS.get(encoding.toLowerCase());
  if (createDecoder === undefined || body.bytes.length === 0) return body;
  const chunks: Buffer[] = [];
  let size = 0;
  try {
    for await (const chunk of createDecoder().end(body.bytes) as AsyncIterable<Buffer>) {
      chunks.push(chunk);
      size += chunk.length;
      if (size > maxBytes) break;
    }
  } catch (error) {
    if (!body.isTruncated) throw error;
  }
  return { bytes: Buffer.concat(chunks).subarray(0, maxBytes), isTruncated: body.isTruncated || size > maxBytes };
}
