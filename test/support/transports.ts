/** Both transports as tests use them: undici in this process, and fetch in workerd, where alone it is meant to run. */
import type { Readable } from 'node:stream';
import { build } from 'esbuild';
import { Miniflare } from 'miniflare';
import { type Transport, TransportError } from '../../src/http/transport.ts';
import { createUndiciTransport } from '../../src/http/undici.ts';
import type { WorkerQuestion, WorkerReply } from './transport-worker.ts';

export interface OpenTransport {
  readonly send: Transport;
  close(): Promise<void>;
}

export async function openUndiciTransport(connections = 16): Promise<OpenTransport> {
  return createUndiciTransport({ connections });
}

/** Headers a test may ask for: an answer crosses a process, so they are named beforehand. */
const CARRIED_HEADERS = ['x-request-id', 'X-Several', 'location', 'content-type', 'retry-after'] as const;

export async function openWorkerTransport(): Promise<OpenTransport> {
  const bundle = await build({
    entryPoints: ['test/support/transport-worker.ts'],
    bundle: true,
    format: 'esm',
    write: false,
    logLevel: 'silent',
  });
  const miniflare = new Miniflare({
    modules: true,
    script: bundle.outputFiles[0]?.text ?? '',
    compatibilityDate: '2026-04-20',
    compatibilityFlags: ['nodejs_compat'],
    host: '127.0.0.1',
    port: 0,
    cf: false,
    // workerd reports every broken answer that a test sends it.
    handleRuntimeStdio(stdout: Readable, stderr: Readable) {
      stdout.resume();
      stderr.resume();
    },
  });
  const url = await miniflare.ready;
  return {
    async send(request) {
      const question: WorkerQuestion = { request, headers: CARRIED_HEADERS };
      const response = await fetch(url, { method: 'POST', body: JSON.stringify(question) });
      const reply = (await response.json()) as WorkerReply;
      if ('code' in reply) throw new TransportError(reply.code);
      const headers = new Map(CARRIED_HEADERS.map((name, at) => [name.toLowerCase(), reply.headers[at] ?? undefined]));
      return { ...reply, header: (name) => headers.get(name.toLowerCase()) };
    },
    close: () => miniflare.dispose(),
  };
}
