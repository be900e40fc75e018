/** The old server as fixtures use it: each call must be the next expected one, and is answered as the fixture says. */
import { once } from 'node:events';
import { createServer, type IncomingMessage } from 'node:http';
import type { AddressInfo } from 'node:net';
import { matchesPattern, type OriginCall, toBody } from './fixture.ts';

export interface FixtureOrigin {
  readonly url: string;
  expect(calls: readonly OriginCall[]): void;
  /** What went otherwise than expected, one line each; empty where every call came, and no other. */
  differences(): string[];
  close(): Promise<void>;
}

export async function startFixtureOrigin(): Promise<FixtureOrigin> {
  let expected: OriginCall[] = [];
  let differs: string[] = [];
  const server = createServer({ keepAlive: true }, async (incoming, outgoing) => {
    const next = expected.shift();
    const body = await readBody(incoming);
    if (next === undefined) {
      differs.push(`the origin got ${incoming.method} ${incoming.url}, not nothing`);
      outgoing.writeHead(500).end();
      return;
    }
    differs.push(...differencesOf(next, incoming, body));
    const { status, headers = {}, body: content = '' } = next.answer;
    outgoing.sendDate = false;
    const length = status === 204 || status === 304 ? {} : { 'Content-Length': Buffer.byteLength(content) };
    outgoing.writeHead(status, { ...headers, ...length });
    outgoing.end(incoming.method === 'HEAD' ? undefined : content);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    expect(calls) {
      expected = [...calls];
      differs = [];
    },
    differences: () => [
      ...differs,
      ...expected.map(({ method, target }) => `the origin did not get ${method} ${target}`),
    ],
    async close() {
      server.close();
      server.closeAllConnections();
      await once(server, 'close');
    },
  };
}

async function readBody(incoming: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of incoming) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks).toString();
}

function differencesOf(expected: OriginCall, incoming: IncomingMessage, found: string): string[] {
  const { method, target, headers } = expected;
  const body = toBody(expected) ?? '';
  const differs: string[] = [];
  const line = `${incoming.method} ${incoming.url}`;
  if (line !== `${method} ${target}`) differs.push(`the origin got ${line}, not ${method} ${target}`);
  if (found !== body) differs.push(`the origin got the body ${JSON.stringify(found)}, not ${JSON.stringify(body)}`);
  for (const [name, value] of Object.entries(headers ?? {})) {
    const sent = incoming.headers[name.toLowerCase()]?.toString();
    const isRight = value === null ? sent === undefined : sent !== undefined && matchesPattern(value, sent);
    if (!isRight) differs.push(`the origin got ${name}: ${sent}, not ${value}`);
  }
  return differs;
}
