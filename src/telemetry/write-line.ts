/**
 * The one writer of standard output on Node. Log (`json-log.ts`) and audit (`audit.ts`) leave their lines in a buffer; the
 * audit has it written in the same turn of the event loop (`gather-lines.ts`), before anything goes on. All writing is
 * synchronous and on this thread, so that no line can stand inside another: a write from libuv's thread pool could be cut
 * in two by one from here wherever the pipe was full. Nothing else may write to the same descriptor.
 */
import { writeSync } from 'node:fs';
import { toPrintable } from './printable.ts';

export interface LineWriter {
  /**
   * Leaves a line (without its end) for the next write, at the latest in FLUSH_INTERVAL_MS. Never throws, and does not wait
   * for a pipe that is full; where the pipe blocks, everybody does. False where it was dropped: KEPT_MAX_LENGTH is reached.
   */
  bufferLine(line: string): boolean;
  /**
   * Hands all lines to the operating system. Throws where that fails, after FULL_PIPE_PATIENCE_MS where nobody reads; what
   * is left is kept for the next write.
   */
  flush(): void;
  /** Lines lost so far, because nobody read for too long. */
  droppedCount(): number;
  /** Writes what is left. */
  close(): void;
}

/** Characters that are worth a system call of their own; a pipe of Linux holds four times as many bytes. */
const FLUSH_LENGTH = 16 * 1024;

/** Longest that somebody who watches the log waits for a line. */
const FLUSH_INTERVAL_MS = 100;

/** What is kept while nobody reads; what comes after it is lost. */
const KEPT_MAX_LENGTH = 4 * 1024 * 1024;

/** How long an audit line waits, and everything with it, for a reader that is slower than we are. */
const FULL_PIPE_PATIENCE_MS = 1000;

const FULL_PIPE_PAUSE_MS = 2;

/**
 * What is buffered is written when the process exits, also by an uncaught error; not
 * when a signal ends it that nobody handles. `write` is `fs.writeSync`: it may write a part, and throws EAGAIN on a full
 * pipe that does not block.
 */
export function openLineWriter(fd: number, write: (fd: number, bytes: Uint8Array) => number = writeSync): LineWriter {
  let lines = '';
  /** What the last write left over. Its first line may have begun: it must be ended before anything else is written. */
  let rest = Buffer.alloc(0);
  let dropped = 0;
  /** The last wait was in vain: nobody is made to wait again until something has been written. */
  let isStuck = false;
  let timer: NodeJS.Timeout | undefined;

  function flush(patienceMs: number): void {
    const added = Buffer.from(toPrintable(lines));
    const bytes = rest.length === 0 ? added : Buffer.concat([rest, added]);
    lines = '';
    let offset = 0;
    const deadline = performance.now() + (isStuck ? 0 : patienceMs);
    try {
      while (offset < bytes.length) {
        try {
          offset += write(fd, bytes.subarray(offset));
          isStuck = false;
        } catch (error) {
          if (!isFullPipe(error)) throw error;
          if (performance.now() >= deadline) {
            isStuck ||= patienceMs > 0;
            throw error;
          }
          pause(FULL_PIPE_PAUSE_MS);
        }
      }
    } finally {
      rest = bytes.subarray(offset);
      if (rest.length > 0) armTimer();
    }
  }

  function tryFlush(patienceMs: number): void {
    try {
      flush(patienceMs);
    } catch {
      // The log has nowhere to say so. The lines are kept; and an audit line that cannot be written does throw.
    }
  }

  /** Left as it is by what is written before: to set it anew for each line costs more than to find nothing to do. */
  function armTimer(): void {
    timer ??= setTimeout(() => {
      timer = undefined;
      tryFlush(0);
    }, FLUSH_INTERVAL_MS).unref();
  }

  /** Whether there was room. */
  function append(text: string): boolean {
    const hasRoom = rest.length + lines.length < KEPT_MAX_LENGTH;
    // Escaped when it is written, all at once; but what must wait counts as what it will be.
    if (hasRoom) lines += rest.length === 0 ? text : toPrintable(text);
    else dropped += 1;
    return hasRoom;
  }

  function close(): void {
    process.off('exit', close);
    // The last chance of what is kept.
    isStuck = false;
    tryFlush(FULL_PIPE_PATIENCE_MS);
    clearTimeout(timer);
    timer = undefined;
  }
  process.on('exit', close);

  return {
    bufferLine(line) {
      const isKept = append(`${line}\n`);
      // With something left over the pipe is full, or worse: the timer tries again, not every line.
      if (rest.length === 0 && lines.length >= FLUSH_LENGTH) tryFlush(0);
      else armTimer();
      return isKept;
    },
    flush: () => flush(FULL_PIPE_PATIENCE_MS),
    droppedCount: () => dropped,
    close,
  };
}

function isFullPipe(error: unknown): boolean {
  return error instanceof Error && 'code' in error && error.code === 'EAGAIN';
}

const sleeper = new Int32Array(new SharedArrayBuffer(4));

/** Sleeps, event loop and all. */
function pause(ms: number): void {
  Atomics.wait(sleeper, 0, 0, ms);
}
