/**
 * The audit trail (decisions.md, section 8): two JSON lines for each removal, written before anything goes on, and a
 * copy of both in a Redis stream, which nothing waits for. When they are written: `pipeline.ts`. How: `write-line.ts` on
 * Node, `console.log` on Workers.
 */
import { Buffer } from 'node:buffer';
import type { RemovalOutcome } from '../backend/client.ts';
import type { Audit, AuditEntry } from '../pipeline.ts';
import type { Scope } from '../scope.ts';
import { toIsoTime, toMembers } from './json-log.ts';
import type { Log } from './log.ts';
import type { Meter } from './meter.ts';
import { toPrintable } from './printable.ts';

export interface AuditOptions {
  /** Has written the line, given without its end, when it returns or what it returns resolves; throws or rejects where it cannot. */
  readonly writeLine: (line: string) => void | Promise<void>;
  /** Wall clock: milliseconds since the epoch. */
  readonly nowMs: () => number;
  /** Whether there is a Redis to copy the lines to. */
  readonly hasCopy: boolean;
  readonly log: Log;
  readonly meter: Meter;
}

const STREAM = 'holdover:audit';

/** About this many lines are kept: a bound for Redis' memory (some 40 MB), not an archive. */
const STREAM_MAX_LINES = 100_000;

/** One per process or isolate; what it returns, one per scope. */
export function createAudit(options: AuditOptions): (scope: Scope) => Audit {
  const { writeLine, nowMs, hasCopy } = options;
  const copier = createCopier(options);
  return (scope) => {
    const copy = hasCopy ? copier(scope) : () => undefined;
    return {
      async intent(entry) {
        const common = toCommon(entry);
        const line = toLine(`"audit":"intent","at":"${toIsoTime(nowMs())}",${common}`);
        await writeLine(line);
        tryCopy(copy, line);
        return (outcome) => writeOutcome(copy, common, outcome);
      },
    };
  };

  /** The removal has happened, or may have: neither may keep its answer from the client, nor one the other from its work. */
  async function writeOutcome(copy: (line: string) => void, common: string, outcome: RemovalOutcome): Promise<void> {
    const ending = toMembers({
      outcome: outcome.outcome,
      backend_status: outcome.backendStatus ?? null,
      backend_request_id: outcome.backendRequestId ?? null,
      tries: outcome.tries,
    });
    const line = toLine(`"audit":"outcome","at":"${toIsoTime(nowMs())}",${common},${ending}`);
    try {
      await writeLine(line);
    } catch (error) {
      report(error);
    }
    tryCopy(copy, line);
  }

  function tryCopy(copy: (line: string) => void, line: string): void {
    try {
      copy(line);
    } catch (error) {
      report(error);
    }
  }

  function report(error: unknown): void {
    options.log.error('an audit line was not written', { reason: toReason(error) });
  }
}

/** What both lines say. Every field is always there, so that a line can be read by position and by name; `null` where nothing is known. */
function toCommon(entry: AuditEntry): string {
  return toMembers({
    request_id: entry.requestId,
    caller: entry.caller,
    client_id: entry.clientId ?? null,
    organization: entry.organization,
    user: entry.user,
    backend_user: entry.backendUser,
    ip: entry.ip,
  });
}

/**
 * As it is printed, so that the copy says the same. To be searched it is also made one flat text: for as long as the copy
 * waits, V8 would keep the tree of its parts, and carry that along at each collection.
 */
function toLine(members: string): string {
  return toPrintable(`{${members}}`);
}

/** How long lines are gathered for one command: two commands for each removal cost more than all that decides about it. */
const GATHER_MS = 20;

const LINE_END = '\n'.charCodeAt(0);

/** KEYS: the stream. ARGV: its bound, and the lines as one text: to make each an argument costs the client twice as much. */
const APPEND = `
for line in string.gmatch(ARGV[2], '[^\\n]+') do redis.call('XADD', KEYS[1], 'MAXLEN', '~', ARGV[1], '*', 'line', line) end
`;

/** Takes a line for the copy. A copy that fails is counted line by line, and said once until one succeeds. */
function createCopier({ log, meter }: AuditOptions): (scope: Scope) => (line: string) => void {
  let isFailing = false;
  const send = async (scope: Scope, lines: readonly string[]) => {
    try {
      await scope.redis().eval(APPEND, 1, STREAM, STREAM_MAX_LINES, toBytes(lines));
      if (isFailing) log.info('audit lines are copied to Redis again');
      isFailing = false;
    } catch (error) {
      for (const _ of lines) meter.auditCopyFailed();
      if (!isFailing) log.warn('audit lines are not copied to Redis', { reason: toReason(error) });
      isFailing = true;
    }
  };
  return (scope) => {
    let gathered: string[] = [];
    return (line) => {
      gathered.push(line);
      if (gathered.length > 1) return;
      const sent = sleep(GATHER_MS).then(() => {
        const lines = gathered;
        gathered = [];
        return send(scope, lines);
      });
      scope.waitUntil(sent);
    };
  };
}

/** Each line with its end. Joined as strings they would be copied twice more on their way to the socket. */
function toBytes(lines: readonly string[]): Buffer {
  const size = lines.reduce((sum, line) => sum + Buffer.byteLength(line) + 1, 0);
  const bytes = Buffer.allocUnsafe(size);
  let end = 0;
  for (const line of lines) {
    end += bytes.write(line, end);
    end = bytes.writeUInt8(LINE_END, end);
  }
  return bytes;
}

function sleep(ms: number): Promise<void> {
  return new Promise((resolve) => {
    setTimeout(resolve, ms);
  });
}

/** Redis' and the system's messages hold no value of ours. */
function toReason(error: unknown): string {
  return error instanceof Error ? error.message : 'not an Error';
}
