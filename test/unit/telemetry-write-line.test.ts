/** Standard output on Node: whole lines in order, whatever the reader does. The log and the audit that use it: telemetry-log.test.ts, telemetry-audit.test.ts. */
import { execFile } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { build } from 'esbuild';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type LineWriter, openLineWriter } from '../../src/telemetry/write-line.ts';

interface Burst {
  /** In the order read; `undefined` for a line that is not JSON. */
  readonly lines: readonly ({ log?: number; audit?: number } | undefined)[];
  readonly refused: number;
  readonly dropped: number;
}

describe('through a real pipe', () => {
  let folder: string;
  let program: string;
  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), 'holdover-lines-'));
    program = join(folder, 'line-burst.mjs');
    const entryPoints = ['test/support/line-burst.ts'];
    await build({ entryPoints, outfile: program, bundle: true, platform: 'node', format: 'esm' });
  });
  afterAll(() => rmSync(folder, { recursive: true }));

  function run(mode: string, count: number, reader: string): Promise<Burst> {
    const command = `"$0" "$1" ${mode} ${count} 2>"$2" | (${reader}); cat "$2" >&2`;
    const args = ['-c', command, process.execPath, program, join(folder, 'stderr')];
    return new Promise((resolve) => {
      rmSync(join(folder, 'stderr'), { force: true });
      execFile('sh', args, { maxBuffer: 256 * 1024 * 1024 }, (_, stdout, stderr) => {
        const said = /^\{[^}]*\}/.exec(stderr)?.[0] ?? '{}';
        resolve({ lines: stdout.trimEnd().split('\n').map(parseLine), ...JSON.parse(said) });
      });
    });
  }

  it.each(['blocking', 'nonblocking'])(
    'keeps every line whole and in order for a slow reader (%s pipe)',
    async (mode) => {
      const { lines, refused, dropped } = await run(mode, 2000, 'sleep 0.5; head -c 100000; sleep 0.3; cat');
      expect({ refused, dropped, broken: lines.filter((line) => line === undefined).length }).toEqual({
        refused: 0,
        dropped: 0,
        broken: 0,
      });
      expect(lines.flatMap((line) => line?.log ?? [])).toEqual(Array.from({ length: 2000 }, (_, n) => n));
      expect(lines.flatMap((line) => line?.audit ?? [])).toEqual(Array.from({ length: 286 }, (_, n) => n * 7));
    },
  );

  it('refuses audit lines while nobody reads, and breaks none for the reader that comes back', async () => {
    const { lines, refused } = await run('nonblocking', 60, 'until [ -s "$2" ]; do sleep 0.05; done; cat');
    expect(refused).toBeGreaterThan(0);
    expect(lines).not.toContain(undefined);
    expect(lines.flatMap((line) => line?.log ?? [])).toEqual(Array.from({ length: 60 }, (_, n) => n));
  });

  it('refuses audit lines when the reader is gone', async () => {
    const { refused } = await run('blocking', 2000, 'head -c 1000 >/dev/null');
    expect(refused).toBeGreaterThan(200);
  });

  it('writes what is buffered when the process crashes', async () => {
    const { lines } = await run('crash', 20, 'cat');
    expect(lines.at(-1)).toMatchObject({ log: 19 });
  });
});

describe('with a system that takes part of a write', () => {
  it('keeps every accepted line whole and in order, and nothing twice', () => {
    const takes = fc.infiniteStream(
      fc.oneof(fc.integer({ min: 1, max: 40 }), fc.constantFrom(30_000, 'EAGAIN', 'ENOSPC')),
    );
    const steps = fc.array(
      fc.tuple(
        fc.constantFrom('log', 'audit'),
        fc.oneof(fc.integer({ min: 0, max: 60 }), fc.integer({ min: 0, max: 3_000 })),
      ),
      {
        maxLength: 40,
      },
    );
    const property = fc.property(takes, steps, (stream, calls) => {
      let isBroken = true;
      const written: Uint8Array[] = [];
      const writer = openLineWriter(1, (_, bytes) => {
        const take = isBroken ? stream.next().value : bytes.length;
        if (typeof take === 'string') throw Object.assign(new Error(take), { code: take });
        written.push(Uint8Array.from(bytes.subarray(0, take)));
        return Math.min(take, bytes.length);
      });
      const expected = calls.map(([kind, length], n) => {
        const line = `${kind} ${n} ${'é→→😀'.repeat(length)}`;
        try {
          if (kind === 'log') writer.bufferLine(line);
          else write(writer, line);
        } catch {
          // Kept for the next write.
        }
        return `${line}\n`;
      });
      isBroken = false;
      writer.close();
      expect(Buffer.concat(written).toString()).toBe(expected.join(''));
    });
    fc.assert(property, { seed: 20141124, numRuns: 200 });
  });

  it('has written the line and all before it when flush returns', () => {
    const written: string[] = [];
    const writer = openLineWriter(1, (_, bytes) => written.push(Buffer.from(bytes).toString()) && bytes.length);
    writer.bufferLine('log');
    expect(written).toEqual([]);
    write(writer, 'audit');
    expect(written.join('')).toBe('log\naudit\n');
    writer.close();
  });

  it('writes a buffered line soon, without another', async () => {
    const written: string[] = [];
    const soon = new Promise<LineWriter>((resolve) => {
      const writer = openLineWriter(1, (_, bytes) => {
        written.push(Buffer.from(bytes).toString());
        resolve(writer);
        return bytes.length;
      });
      writer.bufferLine('alone');
    });
    // The timer must not keep a process alive; this one does.
    const alive = setTimeout(() => {}, 5000);
    (await soon).close();
    clearTimeout(alive);
    expect(written).toEqual(['alone\n']);
  });

  it('makes one audit line wait for a reader that does not come, not each', () => {
    let isFull = true;
    const writer = openLineWriter(1, (_, bytes) => {
      if (isFull) throw Object.assign(new Error('full'), { code: 'EAGAIN' });
      return bytes.length;
    });
    const startedAt = performance.now();
    for (let n = 0; n < 100; n++) expect(() => write(writer, 'audit')).toThrow('full');
    // The promised wait is one second in all.
    expect(performance.now() - startedAt).toBeLessThan(5000);
    isFull = false;
    expect(() => write(writer, 'audit')).not.toThrow();
    writer.close();
  });

  it.each([
    ['plain', 'x'.repeat(1023)],
    ['wide', `${'→'.repeat(340)}xxx`],
  ])('keeps a bounded amount of %s lines, drops and counts the rest, and then refuses audit lines', (_kind, line) => {
    let isBroken = true;
    let bytesWritten = 0;
    let tries = 0;
    const writer = openLineWriter(1, (_, bytes) => {
      tries += 1;
      if (isBroken) throw Object.assign(new Error('disk full'), { code: 'ENOSPC' });
      bytesWritten += bytes.length;
      return bytes.length;
    });
    for (let n = 0; n < 8 * 1024; n++) writer.bufferLine(line);
    expect(writer.droppedCount()).toBe(4 * 1024);
    // Not once a line.
    expect(tries).toBeLessThan(100);
    expect(() => write(writer, 'audit')).toThrow('disk full');
    expect(writer.droppedCount()).toBe(4 * 1024 + 1);
    isBroken = false;
    expect(() => write(writer, 'audit')).toThrow('dropped');
    expect(() => write(writer, 'audit')).not.toThrow();
    expect(bytesWritten).toBe(4 * 1024 * 1024 + 'audit\n'.length);
    writer.close();
  });
});

/** As an audit line is written, if in a turn of its own. */
function write(writer: LineWriter, line: string): void {
  const isKept = writer.bufferLine(line);
  writer.flush();
  if (!isKept) throw new Error('dropped');
}

function parseLine(line: string): { log?: number; audit?: number } | undefined {
  try {
    return JSON.parse(line);
  } catch {
    return undefined;
  }
}
