/**
 * Holdover on Node: what only this runtime has (listeners, files, one Redis client for all) put around the app. The entry
 * with its signals is `node.ts`; the demo starts the same server.
 */
import { type Admin, createAdmin } from './admin.ts';
import { createApp, toPlainAnswer } from './app.ts';
import { type CredentialList, parseCredentialList } from './backend/credential-list.ts';
import type { Config } from './config.ts';
import { parseDirectory } from './directory/contents.ts';
import { openFileDirectory } from './directory/file.ts';
import type { DirectorySource } from './directory/source.ts';
import { type Listener, type ListenerOptions, openListener } from './http/listener.ts';
import { createUndiciTransport } from './http/undici.ts';
import type { Parsed } from './json-text.ts';
import { profileOf } from './legacy/profiles.ts';
import { openNodeScope } from './node-scope.ts';
import { createUndiciOrigin, type Exchange } from './origin/undici.ts';
import { toClientIp } from './policy/client-address.ts';
import { openSharedRedis } from './redis/connection.ts';
import { createRedisDirectory } from './redis/directory.ts';
import { createWiring } from './services.ts';
import { gatherLines } from './telemetry/gather-lines.ts';
import { createJsonLog } from './telemetry/json-log.ts';
import type { Log } from './telemetry/log.ts';
import { createMetrics } from './telemetry/metrics.ts';
import { createRequestRecord, logRequest, type RequestRecord, toEnding } from './telemetry/request-log.ts';
import type { LineWriter } from './telemetry/write-line.ts';
import { openWatchedFile, readTextFile } from './watched-file.ts';

export interface NodeServer {
  readonly url: string;
  readonly adminUrl: string;
  /** Answers what is in flight and finishes every removal that was begun; cuts off what SHUTDOWN_TIMEOUT_MS does not allow. */
  drain(): Promise<'drained' | 'cut'>;
}

/** How often the first directory and keys are asked for until they are there. */
const WARM_UP_MS = 1_000;

const monotonicMs = () => performance.now();

/** Resolves when it listens, or with what is wrong with the files and keys that the configuration names. */
export async function startNodeServer(config: Config, writer: LineWriter): Promise<Parsed<NodeServer>> {
  const log = createJsonLog(config.logLevel, writer.bufferLine);
  const metrics = createMetrics(() => writer.droppedCount());
  const transport = createUndiciTransport({ connections: config.backend.concurrency });
  const redis = config.redis && openSharedRedis({ ...config.redis, log });
  const files = await openFiles(config, log);
  const exchanges = new WeakMap<Request, Exchange>();
  const origin =
    config.originUrl === undefined
      ? undefined
      : createUndiciOrigin({ originUrl: config.originUrl, trustedProxies: config.trustedProxies, log });
  const closeAll = async () => {
    files.close();
    await Promise.all([transport.close(), origin?.close(), redis?.close()]);
  };
  const wiring = createWiring(config, {
    log,
    meter: metrics,
    writeLine: gatherLines(writer),
    transport: transport.send,
    source: files.source,
    credentials: files.credentials,
    origin: origin && ((call) => origin.forward(call, exchanges.get(call.request) as Exchange)),
    countsAddressesLocally: false,
  });
  if (files.mistakes.length > 0) {
    await closeAll();
    return { ok: false, mistakes: files.mistakes };
  }
  await redis?.attempted;

  const scope = openNodeScope(redis?.client);
  const { isReady, warmUp, dependencies, forScope } = wiring;
  const services = forScope(scope);
  const app = createApp({ adapt: config.adapt, info: config.info });
  const onAnswered = (request: Request, requestId: string, record: RequestRecord, status: number) => {
    const ending = toEnding(request, requestId, record, status);
    metrics.observeRequest(record, ending);
    logRequest(log, record, ending);
  };

  await warmUp(scope);
  const warming = setInterval(() => (isReady() ? clearInterval(warming) : void warmUp(scope)), WARM_UP_MS).unref();

  const { shape } = profileOf(config.profile);
  const opened = await tryListen('PORT', {
    ...config.listen,
    toAnswer(failure) {
      // No step of the pipeline sees it, so that this line is all that is told of it.
      log.info('refused before any step', {
        outcome: failure.kind,
        reason: 'reason' in failure ? failure.reason : undefined,
      });
      return toPlainAnswer(failure, shape);
    },
    fetch(request, { incoming, outgoing }) {
      if (origin !== undefined) exchanges.set(request, { incoming, outgoing });
      // Node joins several lines with commas.
      const forwardedFor = incoming.headers['x-forwarded-for'];
      return app.fetch(request, {
        services,
        ip: toClientIp(incoming.socket.remoteAddress, forwardedFor?.toString(), config.trustedProxies),
        rawTarget: incoming.url ?? '/',
        record: createRequestRecord(monotonicMs),
        log,
        onAnswered,
        admin: undefined,
      });
    },
  });
  let isDraining = false;
  const readiness = () => ({ isReady: isReady(), isDraining, dependencies: dependencies() });
  const admin = createAdmin({ readiness, metrics: () => metrics.render() });
  const openedAdmin = opened.ok ? await tryListen('ADMIN_PORT', toAdminListener(config, admin)) : opened;
  if (!opened.ok || !openedAdmin.ok) {
    clearInterval(warming);
    if (opened.ok) await opened.value.drain(0);
    await closeAll();
    return { ok: false, mistakes: openedAdmin.ok ? [] : openedAdmin.mistakes };
  }
  const listener = opened.value;
  const adminListener = openedAdmin.value;
  log.info('listening', { url: listener.url, admin_url: adminListener.url });

  return {
    ok: true,
    value: {
      url: listener.url,
      adminUrl: adminListener.url,
      async drain() {
        isDraining = true;
        const deadlineMs = monotonicMs() + config.shutdownTimeoutMs;
        const end = await listener.drain(config.shutdownTimeoutMs);
        // A removal whose client has hung up is on no connection any more, and still ours to finish.
        await scope.settle(Math.max(0, deadlineMs - monotonicMs()));
        clearInterval(warming);
        await adminListener.drain(0);
        await closeAll();
        log.info('drained', { end });
        return end;
      },
    },
  };
}

interface Files {
  readonly source: DirectorySource;
  readonly credentials: () => CredentialList;
  readonly mistakes: readonly string[];
  close(): void;
}

/** The directory and the credentials, from files that are read again when they change, or from where else they are. */
async function openFiles({ organizations, backend }: Config, log: Log): Promise<Files> {
  const directory =
    organizations.kind === 'file' ? await openFileDirectory({ path: organizations.path, log }) : undefined;
  const list = backend.credentials;
  const watched =
    list.kind === 'file' ? await openWatchedFile({ path: list.path, parse: parseCredentialList, log }) : undefined;
  return {
    source: directory?.ok ? directory.value : createRedisDirectory(),
    credentials: list.kind === 'list' ? () => list.list : () => (watched?.ok ? watched.value.current() : new Map()),
    mistakes: [
      ...(organizations.kind === 'file' ? toMistakes('ORGANIZATIONS', organizations.path, directory) : []),
      ...(list.kind === 'file' ? toMistakes('BACKEND_CREDENTIALS', list.path, watched) : []),
    ],
    close() {
      if (directory?.ok) directory.value.close();
      if (watched?.ok) watched.value.close();
    },
  };
}

function toAdminListener({ admin }: Config, answer: Admin): ListenerOptions {
  const notFound = { status: 404, headers: { 'Content-Type': 'text/plain' }, body: 'not found\n' };
  return {
    ...admin,
    toAnswer: ({ kind }) => ({ ...notFound, status: kind === 'unexpected' ? 500 : 400, body: `${kind}\n` }),
    fetch: async (request) => (await answer(request)) ?? new Response(notFound.body, notFound),
  };
}

/** An address that cannot be had is a mistake of the configuration like any other. */
async function tryListen(name: string, options: ListenerOptions): Promise<Parsed<Listener>> {
  try {
    return { ok: true, value: await openListener(options) };
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? error.code : error;
    return {
      ok: false,
      mistakes: [`${name}: found ${options.host}:${options.port}, which cannot be listened on (${code})`],
    };
  }
}

/** What is wrong with the directory file that ORGANIZATIONS names, for the list of a configuration that is refused anyhow. */
export async function findDirectoryMistakes(source: string | undefined): Promise<readonly string[]> {
  if (!source?.startsWith('file:')) return [];
  const path = source.slice('file:'.length);
  const read = await readTextFile(path);
  return toMistakes('ORGANIZATIONS', path, read.ok ? parseDirectory(read.value) : read);
}

/** What is wrong with the file at `path` that the variable `name` names. */
function toMistakes(name: string, path: string, parsed: Parsed<unknown> | undefined): readonly string[] {
  return parsed === undefined || parsed.ok ? [] : parsed.mistakes.map((mistake) => `${name}: ${path}: ${mistake}`);
}
