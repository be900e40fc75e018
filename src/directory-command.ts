/**
 * The entry of `npm run directory -- load|check FILE [--live]`: environment, sockets and terminal around
 * `directory/command.ts`. Reads only the variables that the task needs, as `config.ts` would.
 */
import { readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import * as v from 'valibot';
import { createBackend } from './backend/client.ts';
import { parseCredentialList } from './backend/credential-list.ts';
import { type CredentialSource, parseCredentials } from './config/credentials.ts';
import { toMistake } from './config/mistake.ts';
import type { ConfigRuntime } from './config/runtime.ts';
import { baseUrl, httpUrl, redisUrls, type ValueSchema } from './config/values.ts';
import { type OpenBackend, type OpenRedis, runDirectoryCommand } from './directory/command.ts';
import { createUndiciTransport } from './http/undici.ts';
import type { Parsed } from './json-text.ts';
import { openSharedRedis } from './redis/connection.ts';
import type { Scope } from './scope.ts';
import type { Log } from './telemetry/log.ts';
import { NO_METER } from './telemetry/meter.ts';

const RUNTIME: ConfigRuntime = { name: 'node', readFile: (path) => readFileSync(path, 'utf8') };

/** Writing a chunk of a large directory over a slow line; REDIS_TIMEOUT_MS is for one small question. */
const REDIS_COMMAND_TIMEOUT_MS = 30_000;

/** Longer than any attempt of the client's own. */
const REDIS_CONNECT_TIMEOUT_MS = 10_000;

/** Nobody waits for an answer but the operator. */
const BACKEND_TIMEOUT_MS = 15_000;

/** More than `checkLive` has in flight. */
const BACKEND_CONCURRENCY = 16;

/** What goes wrong is in the results. */
const SILENT: Log = { debug() {}, info() {}, warn() {}, error() {} };

/** The variables that are set; an empty one is not. */
const texts = new Map(
  Object.entries(process.env).flatMap(([name, text]) => (text === undefined || text === '' ? [] : [[name, text]])),
);

process.exitCode = await runDirectoryCommand(process.argv.slice(2), {
  print: (line) => console.log(line),
  complain: (line) => console.error(line),
  epochMs: () => Date.now(),
  openRedis,
  openBackend,
});

async function openRedis(): Promise<Parsed<OpenRedis>> {
  const urls = readVariable('REDIS_URL', redisUrls('node'));
  if (!urls.ok) return urls;
  const host = urls.value.map((url) => new URL(url).host).join(',');
  let reason: unknown;
  const log: Log = {
    ...SILENT,
    warn(_message, fields) {
      reason ??= fields?.['reason'];
    },
  };
  const options = { urls: urls.value, timeoutMs: REDIS_COMMAND_TIMEOUT_MS, log };
  const { client, attempted, close } = openSharedRedis(options);
  const late = new AbortController();
  await Promise.race([
    attempted,
    sleep(REDIS_CONNECT_TIMEOUT_MS, undefined, { signal: late.signal }).catch(() => undefined),
  ]);
  late.abort();
  if (client.status === 'ready') return { ok: true, value: { client, host, close } };
  client.disconnect();
  return { ok: false, mistakes: [`Redis at ${host} cannot be used: ${reason ?? 'no connection came about'}`] };
}

function openBackend(): Parsed<OpenBackend> {
  const url = readVariable('BACKEND_URL', baseUrl);
  const credentials = parseCredentials(texts, RUNTIME);
  const needsTokenUrl = credentials.needsTokenUrl || texts.has('BACKEND_TOKEN_URL');
  const tokenUrl = needsTokenUrl ? readVariable('BACKEND_TOKEN_URL', httpUrl) : { ok: true as const, value: undefined };
  const list = credentials.credentials && readList(credentials.credentials);
  if (!url.ok || !tokenUrl.ok || !list?.ok) {
    const parts = [url, tokenUrl, list ?? { ok: false as const, mistakes: credentials.mistakes }];
    return { ok: false, mistakes: parts.flatMap((part) => (part.ok ? [] : part.mistakes)) };
  }
  const transport = createUndiciTransport({ connections: BACKEND_CONCURRENCY });
  const backend = createBackend({
    url: url.value,
    tokenUrl: tokenUrl.value,
    credentials: () => list.value,
    timeoutMs: BACKEND_TIMEOUT_MS,
    concurrency: BACKEND_CONCURRENCY,
    transport: transport.send,
    log: SILENT,
    meter: NO_METER,
    monotonicMs: () => performance.now(),
    nowMs: () => Date.now(),
    random: () => Math.random(),
  });
  const scope: Scope = {
    waitUntil() {},
    redis() {
      throw new Error('the backend needs no Redis');
    },
    followerWaitMs: Infinity,
  };
  const askOrganization = (credential: string) => backend.askOrganization(credential, scope);
  return { ok: true, value: { askOrganization, close: () => transport.close() } };
}

function readList(source: CredentialSource) {
  return source.kind === 'list'
    ? { ok: true as const, value: source.list }
    : parseCredentialList(readFileSync(source.path, 'utf8'));
}

function readVariable<Value>(name: string, schema: ValueSchema<Value>): Parsed<Value> {
  const parsed = v.safeParse(schema, texts.get(name));
  if (parsed.success) return { ok: true, value: parsed.output };
  return { ok: false, mistakes: [toMistake(name, texts.get(name), parsed.issues[0], schema)] };
}
