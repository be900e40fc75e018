/** Something on Redis' port that answers as it is told: `reply` is called for each command. */
import { once } from 'node:events';
import { createServer, type Socket } from 'node:net';

export interface ScriptedRedis {
  readonly url: string;
  /** Names of the commands that came, in lower case. */
  readonly commands: string[];
  readonly connections: () => number;
  stop(): Promise<void>;
}

/** Bytes for the wire, or undefined for silence; it may end the connection instead. */
export type Reply = (command: string, socket: Socket) => string | undefined;

export async function startScriptedRedis(reply: Reply): Promise<ScriptedRedis> {
  const commands: string[] = [];
  const sockets = new Set<Socket>();
  let connections = 0;
  const server = createServer((socket) => {
    connections += 1;
    sockets.add(socket);
    socket.on('close', () => sockets.delete(socket));
    socket.on('error', () => undefined);
    socket.on('data', (chunk) => {
      // `*3\r\n$7\r\nEVALSHA\r\n…`: enough of the protocol for commands that come whole.
      for (const [, name = ''] of chunk.toString('latin1').matchAll(/\*\d+\r\n\$\d+\r\n(\w+)\r\n/g)) {
        commands.push(name.toLowerCase());
        const answer = reply(name.toLowerCase(), socket);
        if (answer !== undefined) socket.write(answer);
      }
    });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('no port');
  return {
    url: `redis://127.0.0.1:${address.port}`,
    commands,
    connections: () => connections,
    async stop() {
      for (const socket of sockets) socket.destroy();
      server.close();
      await once(server, 'close');
    },
  };
}
