/** The operational log as JSON lines, the same on both runtimes. Where they go: `write-line.ts` on Node, `console.log` on Workers. */
import { LOG_LEVELS, type Log, type LogFields, type LogLevel } from './log.ts';

/** Lines have `level`, `at`, `message` and the fields. `writeLine` gets each without its end. */
export function createJsonLog(level: LogLevel, writeLine: (line: string) => void): Log {
  const least = LOG_LEVELS.indexOf(level);
  const write = (at: LogLevel) => {
    if (LOG_LEVELS.indexOf(at) < least) return () => undefined;
    return (message: string, fields?: LogFields) => {
      const line = `{"level":"${at}","at":"${new Date().toISOString()}","message":${JSON.stringify(message)}}`;
      writeLine(joinJson(line, toJson(fields)));
    };
  };
  return { debug: write('debug'), info: write('info'), warn: write('warn'), error: write('error') };
}

/** The members of both objects. Cheaper than to build the one object: V8 makes that a slow one. */
export function joinJson(first: string, second: string): string {
  return second === '{}' ? first : `${first.slice(0, -1)},${second.slice(1)}`;
}

/** A log that throws would turn a removal that has happened into an error. */
function toJson(fields: LogFields = {}): string {
  try {
    return JSON.stringify(fields);
  } catch {
    return '{}';
  }
}
