/** The operational log as JSON lines, the same on both runtimes. Where they go: `write-line.ts` on Node, `console.log` on Workers. */
import { LOG_LEVELS, type Log, type LogFields, type LogLevel } from './log.ts';
import { toPrintable } from './printable.ts';

/** Lines have `level`, `at`, `message` and the fields. `writeLine` gets each without its end. */
export function createJsonLog(level: LogLevel, writeLine: (line: string) => void): Log {
  const least = LOG_LEVELS.indexOf(level);
  const write = (at: LogLevel) => {
    if (LOG_LEVELS.indexOf(at) < least) return () => undefined;
    return (message: string, fields?: LogFields) => {
      const members = fields === undefined ? '' : tryToMembers(fields);
      const rest = members === '' ? '}' : `,${members}}`;
      const line = `{"level":"${at}","at":"${toIsoTime(Date.now())}","message":${JSON.stringify(message)}${rest}`;
      writeLine(toPrintable(line));
    };
  };
  return { debug: write('debug'), info: write('info'), warn: write('warn'), error: write('error') };
}

let last = { ms: Number.NaN, text: '' };

/** As RFC 3339 writes it, in UTC; `ms` since the epoch. Under load many lines fall into one millisecond, so the last is kept. */
export function toIsoTime(ms: number): string {
  if (last.ms !== ms) last = { ms, text: new Date(ms).toISOString() };
  return last.text;
}

/** What stands between the braces. Lines are joined of such texts: to build the one object costs more, V8 makes it a slow one. */
export function toMembers(fields: LogFields): string {
  return JSON.stringify(fields).slice(1, -1);
}

/** A log that throws would turn a removal that has happened into an error. */
function tryToMembers(fields: LogFields): string {
  try {
    return toMembers(fields);
  } catch {
    return '';
  }
}
