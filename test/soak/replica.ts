/** One Holdover process of the soak: what it writes is counted, not kept; what it holds is measured from outside. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync, readFileSync } from 'node:fs';
import { createInterface } from 'node:readline';

export interface Replica {
  readonly url: string;
  /** Removals begun, and those that have ended. */
  readonly audit: { readonly intents: number; readonly outcomes: number; readonly open: ReadonlySet<string> };
  /** Lines at level error, and all of standard error: each kind with how often it came. */
  readonly complaints: ReadonlyMap<string, number>;
  measure(): Measure;
  /** SIGTERM; the exit code. */
  stop(): Promise<number>;
}

export interface Measure {
  readonly residentMb: number;
  /** Open file descriptors. */
  readonly handles: number;
}

const MOST_COMPLAINTS = 50;

export async function startReplica(env: Readonly<Record<string, string>>): Promise<Replica> {
  const child = spawn(process.execPath, ['--enable-source-maps', 'dist/node.mjs'], {
    env: { PATH: process.env['PATH'], HOST: '127.0.0.1', PORT: '0', ADMIN_PORT: '0', ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const exited = once(child, 'close') as Promise<[number | null]>;
  const open = new Set<string>();
  const audit = { intents: 0, outcomes: 0, open };
  const complaints = new Map<string, number>();
  const complain = (text: string) => {
    if (complaints.size < MOST_COMPLAINTS || complaints.has(text))
      complaints.set(text, (complaints.get(text) ?? 0) + 1);
  };
  let tellUrl = (_url: string) => {};
  const listening = new Promise<string>((resolve) => {
    tellUrl = resolve;
  });
  createInterface({ input: child.stderr }).on('line', complain);
  createInterface({ input: child.stdout }).on('line', (text) => {
    const line = JSON.parse(text) as Record<string, unknown>;
    if (line['audit'] === 'intent') {
      audit.intents += 1;
      open.add(String(line['request_id']));
    } else if (line['audit'] === 'outcome') {
      audit.outcomes += 1;
      open.delete(String(line['request_id']));
    } else if (line['message'] === 'listening') {
      tellUrl(String(line['url']));
    } else if (line['level'] === 'error') {
      complain(`${line['message']}: ${line['reason'] ?? ''}`);
    }
  });
  const url = await Promise.race([
    listening,
    exited.then(([code]) => {
      throw new Error(`Holdover ended with ${code}: ${[...complaints.keys()].join('\n')}`);
    }),
  ]);
  return {
    url,
    audit,
    complaints,
    measure: () => ({ residentMb: readResidentMb(child.pid), handles: readdirSync(`/proc/${child.pid}/fd`).length }),
    async stop() {
      child.kill('SIGTERM');
      const [code] = await exited;
      return code ?? -1;
    },
  };
}

function readResidentMb(pid: number | undefined): number {
  const [, kilobytes = '0'] = /^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8')) ?? [];
  return Number(kilobytes) / 1024;
}
