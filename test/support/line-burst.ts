/** A program for telemetry-write-line.test.ts: bursts of log and audit lines on standard output. Bundled and run by that test. */
import { openLineWriter } from '../../src/telemetry/write-line.ts';

const [mode, countText] = process.argv.slice(2);
const count = Number(countText);

// What Node does to a pipe when process.stdout is first used: it no longer blocks, and writes end in EAGAIN.
if (mode === 'nonblocking') process.stdout.write('');

const writer = openLineWriter(1);
let refused = 0;
for (let n = 0; n < count; n++) {
  // Lines longer than PIPE_BUF (4096) are the ones that the kernel may cut.
  writer.bufferLine(JSON.stringify({ log: n, text: 'x'.repeat((n * 37) % 6000) }));
  if (n % 7 !== 0) continue;
  try {
    const isKept = writer.bufferLine(JSON.stringify({ audit: n, text: 'y'.repeat((n * 91) % 9000) }));
    writer.flush();
    if (!isKept) refused += 1;
  } catch {
    refused += 1;
  }
}
process.stderr.write(JSON.stringify({ refused, dropped: writer.droppedCount() }));
if (mode === 'crash') throw new Error('on purpose');
