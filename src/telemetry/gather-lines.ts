/**
 * One system call for the audit lines of one turn of the event loop, however many requests wrote them: under load it
 * costs more than all the rest of a line. For Node; Workers have only `console.log`.
 */
import type { LineWriter } from './write-line.ts';

/** What it returns resolves when the line is written, and rejects where it was dropped or could not be written. */
export function gatherLines({ bufferLine, flush }: Pick<LineWriter, 'bufferLine' | 'flush'>) {
  let flushed: Promise<void> | undefined;
  return (line: string): Promise<void> => {
    // In the buffer at once: what the turn ends with, a crash too, writes it.
    if (!bufferLine(line))
      return Promise.reject(new Error('the line was dropped: nobody read standard output for too long'));
    flushed ??= new Promise((resolve, reject) => {
      setImmediate(() => {
        flushed = undefined;
        try {
          flush();
          resolve();
        } catch (error) {
          reject(error);
        }
      });
    });
    return flushed;
  };
}
