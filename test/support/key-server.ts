/** A token service's `/token_keys` on a loopback port: says what it is told to say, and counts who asked. */
import { once } from 'node:events';
import { createServer, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

export interface KeyServer {
  readonly url: string;
  /** Paths asked for since the start or the last `forget`. */
  readonly asked: readonly string[];
  forget(): void;
  publish(keys: readonly unknown[]): void;
  /** Any other answer, until the next `publish`. */
  answer(status: number, body: string | Uint8Array, headers?: Readonly<Record<string, string>>): void;
  /** Holds answers back until `release`, which sends what was said when each question came. */
  hold(): void;
  release(): void;
  close(): Promise<void>;
}

export async function startKeyServer(keys: readonly unknown[] = []): Promise<KeyServer> {
  let reply = (response: ServerResponse) => void response.end();
  let held: (() => void)[] | undefined;
  const asked: string[] = [];
  const server = createServer((request, response) => {
    asked.push(request.url ?? '');
    const send = reply;
    if (held) held.push(() => send(response));
    else send(response);
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const keyServer: KeyServer = {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/token_keys`,
    asked,
    forget: () => void asked.splice(0),
    publish: (published) => keyServer.answer(200, JSON.stringify({ keys: published })),
    answer: (status, body, headers = { 'Content-Type': 'application/json' }) => {
      reply = (response) => void response.writeHead(status, headers).end(body);
    },
    hold: () => {
      held = [];
    },
    release: () => {
      const waiting = held ?? [];
      held = undefined;
      for (const send of waiting) send();
    },
    close: async () => {
      server.close();
      server.closeAllConnections();
      await once(server, 'close');
    },
  };
  keyServer.publish(keys);
  return keyServer;
}
