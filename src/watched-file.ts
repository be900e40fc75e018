/**
 * A file whose content is parsed at start and again whenever it changes (Node only): the directory, the credentials.
 * What the content means is the caller's business.
 */
import { readFile, stat } from 'node:fs/promises';
import type { Parsed } from './json-text.ts';
import type { Log } from './telemetry/log.ts';

export interface WatchedFileOptions<Value> {
  readonly path: string;
  /** May be asked again for each new version. Its mistakes go to the log: no secrets in them. */
  readonly parse: (text: string) => Parsed<Value>;
  readonly log: Log;
  readonly pollMs?: number;
}

export interface WatchedFile<Value> {
  /** What the last good version of the file said. */
  current(): Value;
  /** Another text for each version that `current` has been. */
  version(): string;
  close(): void;
}

/** Soon enough for a person who has just written the file; a `stat` each second costs nothing. */
const POLL_MS = 1000;

/** A file that is missing or broken now is a mistake; one that becomes so later leaves the last good version in force. */
export async function openWatchedFile<Value>(options: WatchedFileOptions<Value>): Promise<Parsed<WatchedFile<Value>>> {
  const { path, parse, log, pollMs = POLL_MS } = options;
  let seen = '';
  const read = async (): Promise<Parsed<Value> | undefined> => {
    try {
      // Through symlinks, which is how mounted secrets change. Polled, since watching them misses the swap of a parent folder.
      const found = await stat(path, { bigint: true });
      const signature = `${found.dev}-${found.ino}-${found.size}-${found.mtimeNs}-${found.ctimeNs}`;
      if (signature === seen) return undefined;
      // Noted before the file is read: what is written meanwhile makes another signature.
      seen = signature;
      // A pipe could be waited for without end.
      if (!found.isFile()) return { ok: false, mistakes: ['is not a regular file'] };
      return parse(decode(await readFile(path)));
    } catch (error) {
      seen = '';
      return { ok: false, mistakes: [toReadMistake(error)] };
    }
  };

  const first = await read();
  if (!first?.ok) return { ok: false, mistakes: first?.mistakes ?? [] };
  let { value } = first;
  let version = 1;
  let told = '';
  let isClosed = false;
  let timer: NodeJS.Timeout;
  const poll = async () => {
    const next = await read();
    if (isClosed) return;
    if (next?.ok) {
      value = next.value;
      version += 1;
      told = '';
      log.info('file picked up', { path, version });
    } else if (next) {
      const mistakes = next.mistakes.join('; ');
      if (mistakes !== told) log.error('file not usable, its last good version stays in force', { path, mistakes });
      told = mistakes;
    }
    schedule();
  };
  const schedule = () => {
    timer = setTimeout(() => void poll(), pollMs).unref();
  };
  schedule();
  return {
    ok: true,
    value: {
      current: () => value,
      version: () => `${version}`,
      close() {
        isClosed = true;
        clearTimeout(timer);
      },
    },
  };
}

/** Reads a whole UTF-8 file once. */
export async function readTextFile(path: string): Promise<Parsed<string>> {
  try {
    return { ok: true, value: decode(await readFile(path)) };
  } catch (error) {
    return { ok: false, mistakes: [toReadMistake(error)] };
  }
}

/** Fatal, since two names that differ in a broken byte must not become one; a byte order mark is dropped. */
function decode(bytes: Uint8Array): string {
  return new TextDecoder('utf-8', { fatal: true }).decode(bytes);
}

function toReadMistake(error: unknown): string {
  const code = error instanceof Error && 'code' in error ? String(error.code) : String(error);
  switch (code) {
    case 'ENOENT':
      return 'there is no such file';
    case 'EACCES':
      return 'may not be read by this process';
    case 'EISDIR':
      return 'is not a regular file';
    case 'ERR_ENCODING_INVALID_ENCODED_DATA':
      return 'is not UTF-8';
    case 'ERR_STRING_TOO_LONG':
      return 'is too large for one text (about 512 MiB)';
    default:
      return `cannot be read: ${code}`;
  }
}
