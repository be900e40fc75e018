/** The entry on Node: variables in, a server out, and the signals that end it. What it starts: `node-server.ts`. */
import { readFileSync } from 'node:fs';
import { OPERATIONS } from './app.ts';
import { parseConfig } from './config.ts';
import { findDirectoryMistakes, startNodeServer } from './node-server.ts';
import { openLineWriter } from './telemetry/write-line.ts';

const STDOUT = 1;

const writer = openLineWriter(STDOUT);
const names = OPERATIONS.map(({ name }) => name);
const parsed = parseConfig(process.env, { name: 'node', readFile: (path) => readFileSync(path, 'utf8') }, names);
for (const warning of parsed.warnings) process.stderr.write(`holdover: ${warning}\n`);

const started = parsed.ok
  ? await startNodeServer(parsed.config, writer)
  : {
      ok: false as const,
      mistakes: [...parsed.mistakes, ...(await findDirectoryMistakes(process.env['ORGANIZATIONS']))],
    };
if (started.ok) {
  const server = started.value;
  let isDraining = false;
  const end = async () => {
    if (isDraining) return;
    isDraining = true;
    await server.drain();
    writer.close();
    // Sockets that were cut off, and timers of libraries, must not keep a drained process alive.
    process.exit(0);
  };
  process.on('SIGTERM', end);
  process.on('SIGINT', end);
} else {
  process.stderr.write(
    `holdover: the configuration has mistakes:\n${started.mistakes.map((line) => `  ${line}\n`).join('')}`,
  );
  process.exitCode = 1;
}
