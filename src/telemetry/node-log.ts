/** The operational log on Node: pino, as JSON lines into the buffer of `write-line.ts`. On Workers: `console-log.ts`. */
import { pino } from 'pino';
import type { Log, LogLevel } from './log.ts';
import type { LineWriter } from './write-line.ts';

/** Lines have `level`, `at`, the fields and `message`, as on Workers. */
export function createNodeLog(level: LogLevel, writer: Pick<LineWriter, 'bufferLines'>): Log {
  const logger = pino(
    {
      level,
      base: null,
      messageKey: 'message',
      timestamp: () => `,"at":"${new Date().toISOString()}"`,
      formatters: { level: (label) => ({ level: label }) },
    },
    { write: writer.bufferLines },
  );
  return {
    debug: (message, fields) => logger.debug(fields ?? NO_FIELDS, message),
    info: (message, fields) => logger.info(fields ?? NO_FIELDS, message),
    warn: (message, fields) => logger.warn(fields ?? NO_FIELDS, message),
    error: (message, fields) => logger.error(fields ?? NO_FIELDS, message),
  };
}

const NO_FIELDS = {};
