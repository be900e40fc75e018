/** Holdover as it ships, started on either runtime: the Node bundle as a process, the Worker bundle in workerd. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { createInterface } from 'node:readline';
import type { Readable } from 'node:stream';
import { Miniflare } from 'miniflare';
import { WORKER_BUNDLE } from './build.ts';

export interface Holdover {
  readonly url: string;
  /** Of the admin listener; undefined on Workers. */
  readonly adminUrl: string | undefined;
  /** Every JSON line written so far: log, request log, audit. */
  readonly lines: readonly Readonly<Record<string, unknown>>[];
  /** Every line that was not JSON, and all of standard error. */
  readonly noise: readonly string[];
  /** The lines of both, as they came. */
  readonly raw: readonly string[];
  /** Node only. */
  readonly pid: number | undefined;
  /** The first line that satisfies `matches`, waited for at most `withinMs`. */
  waitForLine(
    matches: (line: Readonly<Record<string, unknown>>) => boolean,
    withinMs?: number,
  ): Promise<Readonly<Record<string, unknown>>>;
  /** SIGTERM on Node; resolves with the exit code (0 on Workers). */
  stop(): Promise<number>;
}

export type Environment = Readonly<Record<string, string>>;
export type Runtime = 'node' | 'workerd';

/** Rejects where Holdover does not start, with what it said. */
export async function startHoldover(runtime: Runtime, env: Environment): Promise<Holdover> {
  return runtime === 'node' ? startOnNode(env) : startOnWorkerd(env);
}

const START_MS = 15_000;

export async function startOnNode(env: Environment): Promise<Holdover> {
  const child = spawn(process.execPath, ['--enable-source-maps', 'dist/node.mjs'], {
    env: {
      PATH: process.env['PATH'],
      NODE_EXTRA_CA_CERTS: env['NODE_EXTRA_CA_CERTS'],
      HOST: '127.0.0.1',
      PORT: '0',
      ADMIN_PORT: '0',
      ...env,
    },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const output = new Output();
  output.read(child.stdout);
  output.readNoise(child.stderr);
  const exited = once(child, 'close') as Promise<[number | null]>;
  const listening = await Promise.race([
    output.waitForLine((line) => line['message'] === 'listening', START_MS),
    exited.then(([code]) => {
      throw new Error(`Holdover ended with ${code}: ${output.text()}`);
    }),
  ]);
  return {
    url: String(listening['url']),
    adminUrl: String(listening['admin_url']),
    lines: output.lines,
    noise: output.noise,
    raw: output.raw,
    pid: child.pid,
    waitForLine: (matches, withinMs) => output.waitForLine(matches, withinMs),
    async stop() {
      child.kill('SIGTERM');
      const [code] = await exited;
      return code ?? -1;
    },
  };
}

export async function startOnWorkerd(env: Environment): Promise<Holdover> {
  const output = new Output();
  const wrangler = readFileSync('wrangler.toml', 'utf8');
  const miniflare = new Miniflare({
    modules: [{ type: 'ESModule', path: 'worker.js', contents: readFileSync(`${WORKER_BUNDLE}/worker.js`, 'utf8') }],
    compatibilityDate: /^compatibility_date = "(.+)"$/m.exec(wrangler)?.[1] ?? '',
    compatibilityFlags: ['nodejs_compat'],
    bindings: { ...env },
    host: '127.0.0.1',
    port: 0,
    cf: false,
    handleRuntimeStdio(stdout: Readable, stderr: Readable) {
      output.read(stdout);
      output.readNoise(stderr);
    },
  });
  const url = await miniflare.ready.catch(async (error) => {
    throw new Error(`workerd did not start: ${output.text()}`, { cause: error });
  });
  return {
    url: url.origin,
    adminUrl: undefined,
    lines: output.lines,
    noise: output.noise,
    raw: output.raw,
    pid: undefined,
    waitForLine: (matches, withinMs) => output.waitForLine(matches, withinMs),
    async stop() {
      await miniflare.dispose();
      return 0;
    },
  };
}

class Output {
  readonly lines: Record<string, unknown>[] = [];
  readonly noise: string[] = [];
  readonly raw: string[] = [];
  readonly #waiting = new Set<() => void>();

  read(stream: Readable): void {
    createInterface({ input: stream }).on('line', (text) => {
      this.raw.push(text);
      const line = parseLine(text);
      if (line === undefined) this.noise.push(text);
      else this.lines.push(line);
      for (const look of this.#waiting) look();
    });
  }

  readNoise(stream: Readable): void {
    createInterface({ input: stream }).on('line', (text) => {
      this.raw.push(text);
      this.noise.push(text);
    });
  }

  text(): string {
    return [...this.lines.map((line) => JSON.stringify(line)), ...this.noise].join('\n');
  }

  waitForLine(matches: (line: Record<string, unknown>) => boolean, withinMs = 5_000): Promise<Record<string, unknown>> {
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => {
        this.#waiting.delete(look);
        reject(new Error(`no such line within ${withinMs} ms; so far:\n${this.text()}`));
      }, withinMs);
      const look = () => {
        const line = this.lines.find(matches);
        if (line === undefined) return;
        clearTimeout(timer);
        this.#waiting.delete(look);
        resolve(line);
      };
      this.#waiting.add(look);
      look();
    });
  }
}

function parseLine(text: string): Record<string, unknown> | undefined {
  try {
    const line: unknown = JSON.parse(text);
    return typeof line === 'object' && line !== null ? (line as Record<string, unknown>) : undefined;
  } catch {
    return undefined;
  }
}
