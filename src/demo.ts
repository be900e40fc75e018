/**
 * `npm run demo`: Holdover as it runs on Node, before the sandbox backend, both on 127.0.0.1 with secrets made for this
 * run. Performs the page's request, holds the answer against the page, prints `curl` lines and keeps serving; with
 * `-- --once` it ends there. Exits 0 only after a right answer.
 */
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { type IncomingMessage, request } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { SignJWT } from 'jose';
import { OPERATIONS } from './app.ts';
import { parseConfig } from './config.ts';
import { type NodeServer, startNodeServer } from './node-server.ts';
import { openSandboxBackend, type SandboxBackend } from './sandbox/backend.ts';
import { toExamples } from './sandbox/examples.ts';
import { findDifferences, PAGE_PATH, type RawAnswer } from './sandbox/page.ts';
import { createWorld, PAGE_MEMBER_ID, PAGE_ORGANIZATION_ID } from './sandbox/world.ts';
import { openLineWriter } from './telemetry/write-line.ts';

const SECRET_BYTES = 32;

/** Requests an hour for each caller: enough to play with, few enough to use up. */
const QUOTA = 100;

/** As long as the page's token, and all of that server's test tokens. */
const TOKEN_LIFETIME = '7 days';

/** Holdover writes through it too: nothing else may write to standard output. */
const writer = openLineWriter(process.stdout.fd);
const print = (lines: string) => {
  writer.bufferLine(lines);
  writer.flush();
};

process.exitCode = await run(process.argv.includes('--once'));

/** The exit code. */
async function run(isOnce: boolean): Promise<number> {
  const world = createWorld();
  const secret = randomBytes(SECRET_BYTES).toString('base64url');
  const folder = await mkdtemp(join(tmpdir(), 'holdover-demo-'));
  const backend = await openSandboxBackend({ organizations: world.organizations });
  const directoryPath = join(folder, 'directory.json');
  await writeFile(directoryPath, JSON.stringify(world.directory));
  const backing = {
    BACKEND_URL: backend.url,
    BACKEND_TOKEN_URL: backend.tokenUrl,
    BACKEND_CREDENTIALS: JSON.stringify(world.credentials),
    ORGANIZATIONS: `file:${directoryPath}`,
  };
  const holdover = await openHoldover(backing, secret);
  try {
    print(`Holdover listens at ${holdover.url}, the sandbox backend at ${backend.url}.\n`);
    const admin = await signToken(secret, 'uaa-id-111', 'cloud_controller.admin');
    const differences = [...findDifferences(await performRemoval(holdover.url, admin)), ...findLeftovers(backend)];
    if (differences.length > 0) {
      print(['\nThat is not what the page says:', ...differences.map((difference) => `- ${difference}`)].join('\n'));
      return 1;
    }
    print('\nThat is the answer of the page, byte for byte, and the member is gone.');
    if (isOnce) return 0;
    const stranger = await signToken(secret, 'uaa-id-112', 'cloud_controller.write');
    const eager = await signToken(secret, 'uaa-id-113', 'cloud_controller.write');
    const exports = Object.entries(backing).map(([name, value]) => `${name}='${value}'`);
    print(
      `\nFor another Holdover on this sandbox; LEGACY_TOKEN_SECRET is yours to choose:\n\nexport ${exports.join(' ')}`,
    );
    print('\nTry it, from another terminal; Ctrl-C ends the demo.');
    for (const { title, line } of toExamples(holdover.url, { admin, stranger, eager }, QUOTA)) {
      print(`\n# ${title}\n${line}`);
    }
    await Promise.race([once(process, 'SIGINT'), once(process, 'SIGTERM')]);
    return 0;
  } finally {
    await holdover.drain();
    await backend.close();
    await rm(folder, { recursive: true });
  }
}

async function openHoldover(backing: Readonly<Record<string, string>>, secret: string): Promise<NodeServer> {
  const env = {
    ...backing,
    HOST: '127.0.0.1',
    PORT: '0',
    ADMIN_PORT: '0',
    LEGACY_TOKEN_SECRET: secret,
    RATE_LIMIT: `${QUOTA}/1h`,
    LOG_LEVEL: 'warn',
  };
  const parsed = parseConfig(
    env,
    { name: 'node' },
    OPERATIONS.map(({ name }) => name),
  );
  const started = parsed.ok ? await startNodeServer(parsed.config, writer) : parsed;
  if (!started.ok) throw new Error(`the demo is configured wrongly: ${started.mistakes.join('; ')}`);
  return started.value;
}

/** With the claims of the page's token. */
function signToken(secret: string, userId: string, scope: string): Promise<string> {
  return new SignJWT({ user_id: userId, email: 'email-95@somedomain.com', scope: [scope], aud: ['cloud_controller'] })
    .setProtectedHeader({ typ: 'JWT', alg: 'HS256' })
    .setExpirationTime(TOKEN_LIFETIME)
    .sign(new TextEncoder().encode(secret));
}

/** Sends the request of the page, and shows it and the answer. */
async function performRemoval(url: string, token: string): Promise<RawAnswer> {
  const headers = {
    Authorization: `bearer ${token}`,
    Host: 'example.org',
    'Content-Type': 'application/x-www-form-urlencoded',
    Cookie: '',
    'Content-Length': '0',
  };
  print(`The request of the page:\n\n${indent(toHead(`DELETE ${PAGE_PATH} HTTP/1.1`, Object.entries(headers)))}\n`);
  print('What Holdover writes down of it, before and after the removal:\n');
  const sent = request(url + PAGE_PATH, { method: 'DELETE', headers, agent: false });
  sent.end();
  const [received] = (await once(sent, 'response')) as [IncomingMessage];
  const answer = {
    status: `${received.statusCode} ${received.statusMessage}`,
    headers: received.rawHeaders.flatMap((name, at, all) => (at % 2 === 0 ? [[name, all[at + 1] ?? ''] as const] : [])),
    body: await text(received),
  };
  print(`\nThe answer:\n\n${indent(`${toHead(`HTTP/1.1 ${answer.status}`, answer.headers)}\n\n${answer.body}`)}`);
  return answer;
}

/** What the removal should have done to the sandbox and has not, or the other way round. */
function findLeftovers(backend: SandboxBackend): string[] {
  return [...backend.organizations.values()].flatMap(({ id, name, members }) => {
    const isMember = members.some((member) => member.id === PAGE_MEMBER_ID);
    if (isMember !== (id === PAGE_ORGANIZATION_ID)) return [];
    return [`backend: ${PAGE_MEMBER_ID} is ${isMember ? 'still' : 'no longer'} a member of ${name}`];
  });
}

function toHead(firstLine: string, headers: readonly (readonly [name: string, value: string])[]): string {
  return [firstLine, ...headers.map(([name, value]) => `${name}: ${value}`)].join('\n');
}

function indent(lines: string): string {
  return lines.replace(/^(?=.)/gm, '  ');
}
