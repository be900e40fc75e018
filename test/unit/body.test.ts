/** What is told of a body before it is read. Bodies that are read: test/contract. */
import { expect, it } from 'vitest';
import { readBody } from '../../src/body.ts';

it('refuses a body whose announced length is above the cap without waiting for a byte of it', {
  timeout: 2_000,
}, async () => {
  const never = new ReadableStream({ pull: () => new Promise(() => undefined) });
  const init = { method: 'DELETE', headers: { 'content-length': '65537' }, body: never, duplex: 'half' };
  const read = await readBody(new Request('http://h/', init as RequestInit));
  expect(read).toMatchObject({ ok: false, failure: { kind: 'body-too-large' } });
});
