/** A server that does nothing but pass every call on, over the real listener, as `app.ts` does with what is not adapted. */
import { Hono } from 'hono';
import type { Call } from '../../src/call.ts';
import type { Failure } from '../../src/failure.ts';
import { openListener } from '../../src/http/listener.ts';
import { toRequestId } from '../../src/legacy/headers.ts';
import { createUndiciOrigin, type Exchange } from '../../src/origin/undici.ts';
import type { LogFields } from '../../src/telemetry/log.ts';

export interface PassthroughOptions {
  readonly originUrl: string;
  readonly trustedProxies?: number;
  readonly firstByteTimeoutMs?: number;
  /** As for adapted routes: the body is read before the call goes to the origin. */
  readonly readsBody?: boolean;
}

export interface Passthrough {
  readonly url: string;
  /** What the calls so far could not be passed on for. */
  readonly failures: Failure[];
  /** Statuses as the request log would have them. */
  readonly statuses: number[];
  readonly warnings: { readonly message: string; readonly fields: LogFields | undefined }[];
  close(): Promise<void>;
}

export const UUID = '0d2a54ab-6d2e-4b5c-8c0a-5b1e7f2c9d11';

function toCall(request: Request, rawTarget: string, body?: Uint8Array): Call {
  const { headers } = request;
  return {
    request,
    requestId: toRequestId(headers.get('x-vcap-request-id') ?? headers.get('x-request-id'), UUID),
    uuid: UUID,
    ip: '127.0.0.1',
    rawTarget,
    query: new URLSearchParams(),
    body,
    record: {} as Call['record'],
  };
}

export async function openPassthrough(options: PassthroughOptions): Promise<Passthrough> {
  const { readsBody = false, originUrl, trustedProxies = 0, ...rest } = options;
  const failures: Failure[] = [];
  const statuses: number[] = [];
  const warnings: Passthrough['warnings'] = [];
  const log = {
    debug() {},
    info() {},
    error() {},
    warn: (message: string, fields?: LogFields) => warnings.push({ message, fields }),
  };
  const origin = createUndiciOrigin({ originUrl, trustedProxies, log, ...rest });
  const app = new Hono<{ Bindings: Exchange }>();
  app.notFound(async (c) => {
    const body = readsBody ? new Uint8Array(await c.req.raw.arrayBuffer()) : undefined;
    const passed = await origin.forward(toCall(c.req.raw, c.env.incoming.url ?? '', body), c.env);
    if (passed.ok) {
      statuses.push(passed.value.status);
      return passed.value;
    }
    failures.push(passed.failure);
    return c.json(passed.failure, 503);
  });
  const listener = await openListener({
    host: '127.0.0.1',
    port: 0,
    fetch: (request, env) => app.fetch(request, env),
    toAnswer: (failure) => ({ status: 400, headers: {}, body: JSON.stringify(failure) }),
  });
  return {
    url: listener.url,
    failures,
    statuses,
    warnings,
    async close() {
      await listener.drain(100);
      await origin.close();
    },
  };
}
