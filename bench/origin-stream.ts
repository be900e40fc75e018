/**
 * 1 GiB through the origin passthrough in each direction, and how much the process that passes it on grows: it must stay
 * below 64 MiB (issue 4). Growth is counted from before the first request, so it includes what a process needs once.
 * Origin and client are a process of their own, so that only Holdover's part is measured. Most of the growth is buffers
 * of socket reads that await collection: a bare `node:http` pipe shows 45 to 62 MiB of it on two busy cores, so compare
 * several runs, on a quiet machine. Run:
 *   npx esbuild bench/origin-stream.ts --bundle --packages=external --platform=node --format=esm --outfile=dist/origin-stream.mjs && node dist/origin-stream.mjs
 */
import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { createServer, type IncomingMessage, request } from 'node:http';
import type { AddressInfo } from 'node:net';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { fileURLToPath } from 'node:url';
import { openPassthrough } from '../test/support/passthrough.ts';

const MIB = 1024 * 1024;
const SIZE = 1024 * MIB;
const ALLOWED_GROWTH = 64 * MIB;
const SAMPLE_MS = 20;

type Direction = 'down' | 'up';

async function measure(): Promise<void> {
  const peer = fork(fileURLToPath(import.meta.url), ['peer']);
  const originPort = await say<number>(peer, undefined);
  const passthrough = await openPassthrough({ originUrl: `http://127.0.0.1:${originPort}` });
  const before = process.memoryUsage.rss();
  let isWithin = true;
  for (const direction of ['down', 'up'] as const) {
    for (const isChunked of [false, true]) {
      const job = { url: passthrough.url, direction, isChunked };
      let peak = 0;
      const sampler = setInterval(() => {
        peak = Math.max(peak, process.memoryUsage.rss());
      }, SAMPLE_MS);
      const startedAt = performance.now();
      const passed = await say<number>(peer, { ...job, size: SIZE });
      const seconds = (performance.now() - startedAt) / 1000;
      clearInterval(sampler);
      const growth = peak - before;
      isWithin &&= passed === SIZE && growth < ALLOWED_GROWTH;
      const framing = isChunked ? 'chunked' : 'by length';
      const speed = `${Math.round(SIZE / MIB / seconds)} MiB/s`;
      console.log(
        `${direction}, ${framing}: ${passed} bytes, resident +${(growth / MIB).toFixed(1)} MiB of ${(peak / MIB).toFixed(0)}, ${speed}`,
      );
    }
  }
  peer.kill();
  await passthrough.close();
  console.log(isWithin ? 'within 64 MiB' : 'NOT within 64 MiB');
  process.exitCode = isWithin ? 0 : 1;
}

interface Job {
  readonly url: string;
  readonly direction: Direction;
  readonly isChunked: boolean;
  readonly size: number;
}

async function say<Reply>(peer: ChildProcess, job: Job | undefined): Promise<Reply> {
  if (job !== undefined) peer.send(job);
  const [reply] = await once(peer, 'message');
  return reply as Reply;
}

/** The old server and the client. */
function runPeer(): void {
  let uploaded = 0;
  const server = createServer(async (incoming, outgoing) => {
    const { direction, isChunked, size } = JSON.parse(String(incoming.headers['x-job'])) as Job;
    if (direction === 'up') {
      uploaded = await count(incoming);
      outgoing.end();
      return;
    }
    if (!isChunked) outgoing.setHeader('Content-Length', size);
    await pipeline(zeros(size), outgoing);
  });
  server.listen(0, '127.0.0.1', () => process.send?.((server.address() as AddressInfo).port));
  process.on('message', async (job: Job) => {
    const { url, direction, isChunked, size } = job;
    const headers: Record<string, string> = { 'X-Job': JSON.stringify(job) };
    if (direction === 'up')
      headers[isChunked ? 'Transfer-Encoding' : 'Content-Length'] = isChunked ? 'chunked' : `${size}`;
    const outgoing = request(url, { method: direction === 'up' ? 'PUT' : 'GET', headers, agent: false });
    const answered = once(outgoing, 'response');
    if (direction === 'up') await pipeline(zeros(size), outgoing);
    else outgoing.end();
    const [answer] = (await answered) as [IncomingMessage];
    const downloaded = await count(answer);
    process.send?.(direction === 'up' ? uploaded : downloaded);
  });
}

async function count(body: IncomingMessage): Promise<number> {
  let bytes = 0;
  for await (const chunk of body) bytes += (chunk as Buffer).length;
  return bytes;
}

function zeros(size: number): Readable {
  const chunk = Buffer.alloc(64 * 1024);
  return Readable.from(
    (function* () {
      for (let sent = 0; sent < size; sent += chunk.length) yield chunk;
    })(),
    { objectMode: false },
  );
}

if (process.argv[2] === 'peer') runPeer();
else await measure();
