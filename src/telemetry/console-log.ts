/** The operational log on Workers: JSON lines by `console.log`, which is where Workers Logs and `wrangler tail` look. On Node: `node-log.ts`. */
import { LOG_LEVELS, type Log, type LogFields, type LogLevel } from './log.ts';

/** Lines have `level`, `at`, the fields and `message`, as on Node. `writeLine` is `console.log`. */
export function createConsoleLog(level: LogLevel, writeLine: (line: string) => void): Log {
  const least = LOG_LEVELS.indexOf(level);
  const write = (at: LogLevel) => (message: string, fields?: LogFields) => {
    if (LOG_LEVELS.indexOf(at) < least) return;
    writeLine(toLine({ level: at, at: new Date().toISOString(), ...fields, message }));
  };
  return { debug: write('debug'), info: write('info'), warn: write('warn'), error: write('error') };
}

/** A log that throws would turn a removal that has happened into an error. */
function toLine(entry: Record<string, unknown>): string {
  try {
    return JSON.stringify(entry);
  } catch {
    return JSON.stringify({ level: entry['level'], at: entry['at'], message: entry['message'] });
  }
}
