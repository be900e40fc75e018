/** Audit lines of one turn of the event loop: one write for all, and every one of them learns how it ended. */
import { describe, expect, it } from 'vitest';
import { gatherLines } from '../../src/telemetry/gather-lines.ts';
import { openLineWriter } from '../../src/telemetry/write-line.ts';

describe('lines that come in one turn', () => {
  it('are written at once, in order, before any of them is told so', async () => {
    const written: string[] = [];
    const writer = openLineWriter(1, (_, bytes) => written.push(Buffer.from(bytes).toString()) && bytes.length);
    const write = gatherLines(writer);
    const told: string[] = [];
    const all = ['a', 'b', 'c'].map((line) =>
      write(line).then(() => {
        expect(written).toEqual(['a\nb\nc\n']);
        told.push(line);
      }),
    );
    expect(written).toEqual([]);
    await Promise.all(all);
    expect(told).toEqual(['a', 'b', 'c']);
    await write('d');
    expect(written).toEqual(['a\nb\nc\n', 'd\n']);
    writer.close();
  });

  it('are all refused where they cannot be written, and those of the next turn are not', async () => {
    let isBroken = true;
    const writer = openLineWriter(1, (_, bytes) => {
      if (isBroken) throw Object.assign(new Error('EPIPE'), { code: 'EPIPE' });
      return bytes.length;
    });
    const write = gatherLines(writer);
    const ends = await Promise.allSettled([write('a'), write('b')]);
    expect(ends.map(({ status }) => status)).toEqual(['rejected', 'rejected']);
    isBroken = false;
    await expect(write('c')).resolves.toBeUndefined();
    writer.close();
  });

  it('are refused one by one where there is no room for them', async () => {
    const write = gatherLines({ bufferLine: (line) => line !== 'dropped', flush: () => undefined });
    const ends = await Promise.allSettled([write('a'), write('dropped')]);
    expect(ends.map(({ status }) => status)).toEqual(['fulfilled', 'rejected']);
  });

  it('are written where the process ends in that turn', () => {
    const written: string[] = [];
    const writer = openLineWriter(1, (_, bytes) => written.push(Buffer.from(bytes).toString()) && bytes.length);
    void gatherLines(writer)('the outcome');
    // What the writer does when the process exits.
    writer.close();
    expect(written).toEqual(['the outcome\n']);
  });
});
