/**
 * The one writer of standard output on Node. Log (`json-log.ts`) and audit (`audit.ts`) leave their lines in a buffer; the
 * audit has it written in the same turn of the event loop (`gather-lines.ts`), before anything goes on. All writing is
 * synchronous and on this thread, so that no line can stand inside another: a write from libuv's thread pool could be cut
 * in two by one from here wherever the pipe was full. Nothing else may write to the same descriptor.
 */
import { Buffer } from 'node:buffer';
import { writeSync } from 'node:fs';

export interface LineWriter {
  /**
   * Leaves a line (printable, without its end) for the next write, at the latest in FLUSH_INTERVAL_MS. Never throws, and does
   * not wait for a pipe that is full; where the pipe blocks, everybody does. False where it was dropped: KEPT_MAX_BYTES are kept.
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

/** Worth a system call of their own; a pipe of Linux holds four times as many. */
const FLUSH_BYTES = 16 * 1024;

/** Room to begin with. More is given back as soon as all is written. */
const ROOM_BYTES = 64 * 1024;

/** Longest that somebody who watches the log waits for a line. */
const FLUSH_INTERVAL_MS = 100;

/** What is kept while nobody reads; what comes after it is lost. */
const KEPT_MAX_BYTES = 4 * 1024 * 1024;

/** UTF-8 has no more for what is one character of a JavaScript string. */
const BYTES_MAX_PER_CHARACTER = 3;

const LINE_END = '\n'.charCodeAt(0);

/** How long an audit line waits, and everything with it, for a reader that is slower than we are. */
const FULL_PIPE_PATIENCE_MS = 1000;

const FULL_PIPE_PAUSE_MS = 2;

/**
 * What is buffered is written when the process exits, also by an uncaught error; not
 * when a signal ends it that nobody handles. `write` is `fs.writeSync`: it may write a part, throws EAGAIN on a full pipe
 * that does not block, and is done with the bytes when it returns.
 */
export function openLineWriter(fd: number, write: (fd: number, bytes: Uint8Array) => number = writeSync): LineWriter {
  /** What is kept stands from `start` to `end`. Its first line may have begun: it must be ended before anything else. */
  let bytes = Buffer.allocUnsafeSlow(ROOM_BYTES);
  let start = 0;
  let end = 0;
  /** The last write left something over: the pipe is full, or worse. */
  let isBehind = false;
  let dropped = 0;
  /** The last wait was in vain: nobody is made to wait again until something has been written. */
  let isStuck = false;
  let timer: NodeJS.Timeout | undefined;

  function flush(patienceMs: number): void {
    const deadline = performance.now() + (isStuck ? 0 : patienceMs);
    try {
      while (start < end) {
        try {
          start += write(fd, bytes.subarray(start, end));
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
      isBehind = start < end;
      if (isBehind) armTimer();
      else reset();
    }
  }

  function reset(): void {
    start = 0;
    end = 0;
    if (bytes.length > ROOM_BYTES) bytes = Buffer.allocUnsafeSlow(ROOM_BYTES);
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

  /** Room for so many bytes behind `end`. */
  function makeRoom(wanted: number): void {
    if (bytes.length - end >= wanted) return;
    const kept = bytes.subarray(start, end);
    const isEnough = bytes.length - kept.length >= wanted;
    const roomier = isEnough ? bytes : Buffer.allocUnsafeSlow(2 * (kept.length + wanted));
    kept.copy(roomier);
    bytes = roomier;
    start = 0;
    end = kept.length;
  }

  /** Encoded at once: to join lines first, and encode the whole, copies them twice. */
  function append(line: string): void {
    makeRoom(BYTES_MAX_PER_CHARACTER * line.length + 1);
    end += bytes.write(line, end);
    bytes[end] = LINE_END;
    end += 1;
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
      const hasRoom = end - start < KEPT_MAX_BYTES;
      if (hasRoom) append(line);
      else dropped += 1;
      // Behind, the timer tries again, not every line.
      if (!isBehind && end - start >= FLUSH_BYTES) tryFlush(0);
      else armTimer();
      return hasRoom;
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
