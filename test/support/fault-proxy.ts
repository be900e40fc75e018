/**
 * A proxy on loopback that stands before a real server and breaks what passes, on the connections that stand and on new
 * ones. It may speak TLS to its client, plain TCP to its server. Certificates for it: `createCertificates`.
 */
import { execFileSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { connect, createServer, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { createSecureContext, type SecureContext, TLSSocket } from 'node:tls';

export type WireFault =
  /** Nobody listens, and every connection is gone. */
  | { readonly kind: 'refuse' }
  /** Connections are made, or stand; nothing comes any more, and nothing gets through. */
  | { readonly kind: 'freeze' }
  /** A certificate that nobody trusts. */
  | { readonly kind: 'distrust' }
  /** Each answer comes `ms` later. */
  | { readonly kind: 'delay'; readonly ms: number }
  /** The server gets the request and acts; of its answer come `afterBytes` bytes, then RST. `times`: for ever unless told. */
  | { readonly kind: 'cut'; readonly afterBytes: number; readonly times?: number }
  /** The server gets nothing: each piece of a request is answered with these bytes, none where there are none. */
  | { readonly kind: 'reply'; readonly toBytes: (request: Buffer) => string | Buffer };

export interface FaultProxy {
  readonly port: number;
  /** For URLs: the name that the certificate has. */
  readonly host: string;
  /** Connections that came, and pieces of requests, so far. */
  readonly touched: number;
  break(fault: WireFault): Promise<void>;
  /** Passes everything on again; connections that were broken are ended. */
  heal(): Promise<void>;
  /** New connections lead there. */
  retarget(port: number): void;
  close(): Promise<void>;
}

export interface FaultProxyOptions {
  readonly targetPort: number;
  /** Without: plain TCP. */
  readonly certificates?: Certificates;
}

/** Ports that no system gives away for outgoing connections, so that nobody takes one while the proxy refuses. */
const PORTS = { first: 20_000, count: 10_000 } as const;

/** Time for what was sent to be read: an RST throws away what is still in the buffers. */
const SETTLE_MS = 20;

export async function startFaultProxy({ targetPort, certificates }: FaultProxyOptions): Promise<FaultProxy> {
  const trusted = certificates && toContext(certificates.server);
  const stranger = certificates && toContext(certificates.stranger);
  const connections = new Set<Socket>();
  let target = targetPort;
  let fault: WireFault | undefined;
  let cutsLeft = 0;
  let touched = 0;

  const server = createServer((raw) => {
    touched += 1;
    connections.add(raw);
    raw.setNoDelay(true);
    raw.on('error', () => undefined).on('close', () => connections.delete(raw));
    // Not even a handshake.
    if (fault?.kind === 'freeze') return;
    const context: SecureContext | undefined = fault?.kind === 'distrust' ? stranger : trusted;
    const client = context ? new TLSSocket(raw, { isServer: true, secureContext: context }) : raw;
    client.on('error', () => raw.destroy());
    couple(client, raw);
  });

  function couple(client: Socket, raw: Socket): void {
    const upstream = connect(target, '127.0.0.1');
    upstream.setNoDelay(true);
    upstream.on('error', () => raw.destroy()).on('close', () => raw.destroy());
    raw.on('close', () => upstream.destroy());
    let isCut = false;
    client.on('data', (chunk: Buffer) => {
      touched += 1;
      if (fault?.kind === 'freeze') return;
      if (fault?.kind === 'reply') client.write(fault.toBytes(chunk));
      else upstream.write(chunk);
    });
    upstream.on('data', async (chunk: Buffer) => {
      if (isCut || fault?.kind === 'freeze') return;
      if (fault?.kind === 'cut' && cutsLeft > 0) {
        cutsLeft -= 1;
        isCut = true;
        if (fault.afterBytes > 0) {
          client.write(chunk.subarray(0, fault.afterBytes));
          await sleep(SETTLE_MS);
        }
        raw.resetAndDestroy();
        return;
      }
      if (fault?.kind === 'delay') await sleep(fault.ms);
      client.write(chunk);
    });
  }

  const port = await listenSomewhere(server);
  const endAll = () => {
    for (const socket of connections) socket.destroy();
  };
  const heal = async () => {
    const was = fault;
    fault = undefined;
    if (was?.kind === 'freeze' || was?.kind === 'distrust') endAll();
    if (was?.kind === 'refuse') await listen(server, port);
  };
  return {
    port,
    host: `localhost:${port}`,
    get touched() {
      return touched;
    },
    async break(next) {
      await heal();
      fault = next;
      if (next.kind === 'cut') cutsLeft = next.times ?? Number.POSITIVE_INFINITY;
      if (next.kind === 'distrust') endAll();
      if (next.kind === 'refuse') await shut();
    },
    heal,
    retarget(next) {
      target = next;
    },
    async close() {
      if (server.listening) await shut();
    },
  };

  async function shut(): Promise<void> {
    const closed = once(server, 'close');
    server.close();
    endAll();
    await closed;
  }
}

async function listenSomewhere(server: Server): Promise<number> {
  for (;;) {
    const port = PORTS.first + Math.floor(Math.random() * PORTS.count);
    try {
      await listen(server, port);
      return port;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EADDRINUSE') throw error;
    }
  }
}

async function listen(server: Server, port: number): Promise<void> {
  server.listen(port, '127.0.0.1');
  await once(server, 'listening');
}

export interface Certificates {
  /** For NODE_EXTRA_CA_CERTS. */
  readonly caPath: string;
  /** Signed by that authority, for `localhost` and 127.0.0.1. */
  readonly server: KeyAndCertificate;
  /** For the same names, signed by itself. */
  readonly stranger: KeyAndCertificate;
  remove(): void;
}

export interface KeyAndCertificate {
  readonly keyPath: string;
  readonly certPath: string;
}

/** Made anew in a temporary folder, by openssl. */
export function createCertificates(): Certificates {
  const folder = mkdtempSync(join(tmpdir(), 'holdover-certificates-'));
  const make = (name: string, ...args: string[]): KeyAndCertificate => {
    const files = { keyPath: join(folder, `${name}.key`), certPath: join(folder, `${name}.pem`) };
    const key = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-keyout', files.keyPath];
    const rest = ['-out', files.certPath, '-days', '2', '-subj', `/CN=${name}`];
    execFileSync('openssl', ['req', '-x509', ...key, ...rest, ...args], { stdio: ['ignore', 'ignore', 'pipe'] });
    return files;
  };
  const names = ['-addext', 'subjectAltName=DNS:localhost,IP:127.0.0.1', '-addext', 'basicConstraints=CA:FALSE'];
  const authority = make('authority');
  return {
    caPath: authority.certPath,
    server: make('server', '-CA', authority.certPath, '-CAkey', authority.keyPath, ...names),
    stranger: make('stranger', ...names),
    remove: () => rmSync(folder, { recursive: true, force: true }),
  };
}

function toContext({ keyPath, certPath }: KeyAndCertificate): SecureContext {
  return createSecureContext({ key: readFileSync(keyPath), cert: readFileSync(certPath) });
}
