/** One Holdover process of the soak: what it writes is counted, not kept; what it holds is measured from outside. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync, readFileSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { INSPECT_OPTION, INSPECTOR_LINE, measureLiveHeapMb } from './live-heap.ts';

export interface Replica {
  readonly url: string;
  /** Removals begun, and those that have ended. */
  readonly audit: { readonly intents: number; readonly outcomes: number; readonly open: ReadonlySet<string> };
  /** Lines at level error, and all of standard error: each kind with how often it came. */
  readonly complaints: ReadonlyMap<string, number>;
  measure(): Promise<Measure>;
  /** SIGTERM; the exit code. */
  stop(): Promise<number>;
}

export interface Measure {
  readonly residentMb: number;
  /** The JavaScript heap after a full collection. */
  readonly liveHeapMb: number;
  /** Open file descriptors. */
  readonly handles: number;
}

const MOST_COMPLAINTS = 50;

export async function startReplica(env: Readonly<Record<string, string>>): Promise<Replica> {
  const child = spawn('sh', ['-c', toStartCommand()], {
    env: {
      PATH: process.env['PATH'],
      NODE_OPTIONS: INSPECT_OPTION,
      HOST: '127.0.0.1',
      PORT: '0',
      ADMIN_PORT: '0',
      ...env,
    },
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
  let inspectorUrl = '';
  createInterface({ input: child.stderr }).on('line', (text) => {
    const found = INSPECTOR_LINE.exec(text);
    if (found === null) complain(text);
    else inspectorUrl ||= found[1] ?? '';
  });
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
    async measure() {
      const liveHeapMb = await measureLiveHeapMb(inspectorUrl);
      const handles = readdirSync(`/proc/${child.pid}/fd`).length;
      return { residentMb: readResidentMb(child.pid), liveHeapMb, handles };
    },
    async stop() {
      child.kill('SIGTERM');
      const [code] = await exited;
      return code ?? -1;
    },
  };
}

/** `npm start` without its build: the bounds of the heap are part of what is measured. */
function toStartCommand(): string {
  const { scripts } = JSON.parse(readFileSync('package.json', 'utf8')) as { scripts: { start: string } };
  return scripts.start.replace(/^.* && /, '');
}

function readResidentMb(pid: number | undefined): number {
  const [, kilobytes = '0'] = /^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8')) ?? [];
  return Number(kilobytes) / 1024;
}
