/** A Worker that makes one exchange with the fetch transport for whoever asks: how tests reach it where it is used. */
import { createFetchTransport } from '../../src/http/fetch.ts';
import { type HttpRequest, TransportError } from '../../src/http/transport.ts';

export interface WorkerQuestion {
  readonly request: HttpRequest;
  readonly headers: readonly string[];
}

export type WorkerReply =
  | {
      readonly status: number;
      readonly body: string;
      readonly isTruncated: boolean;
      readonly headers: readonly (string | null)[];
    }
  | { readonly code: TransportError['code'] };

const send = createFetchTransport(fetch);

async function reply({ request, headers }: WorkerQuestion): Promise<WorkerReply> {
  try {
    const answer = await send(request);
    const { status, body, isTruncated } = answer;
    return { status, body, isTruncated, headers: headers.map((name) => answer.header(name) ?? null) };
  } catch (error) {
    if (error instanceof TransportError) return { code: error.code };
    throw error;
  }
}

/** @public Miniflare calls it. */
export default {
  async fetch(request: Request): Promise<Response> {
    return Response.json(await reply((await request.json()) as WorkerQuestion));
  },
};
