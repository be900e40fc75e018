/** How every part writes to the operational log. Implementation: `json-log.ts`. */
export interface Log {
  debug(message: string, fields?: LogFields): void;
  info(message: string, fields?: LogFields): void;
  warn(message: string, fields?: LogFields): void;
  error(message: string, fields?: LogFields): void;
}

/** Never holds a token, a secret or a body; nor `level`, `at` or `message`, which the line has; and is JSON. */
export type LogFields = Readonly<Record<string, unknown>>;

/** LOG_LEVEL, from most to least. */
export const LOG_LEVELS = ['debug', 'info', 'warn', 'error'] as const;

export type LogLevel = (typeof LOG_LEVELS)[number];
