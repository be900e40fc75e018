/** How every part writes to the operational log. Implementations: `node-log.ts` (pino), `console-log.ts` (Workers). */
export interface Log {
  debug(message: string, fields?: LogFields): void;
  info(message: string, fields?: LogFields): void;
  warn(message: string, fields?: LogFields): void;
  error(message: string, fields?: LogFields): void;
}

/** Never holds a token, a secret or a body. */
export type LogFields = Readonly<Record<string, unknown>>;

/** LOG_LEVEL, from most to least. */
export const LOG_LEVELS = ['debug', 'info', 'warn', 'error'] as const;

export type LogLevel = (typeof LOG_LEVELS)[number];
