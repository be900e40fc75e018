/** The scripted backend as fixtures use it: every credential exchanges for an access token of its organization, and each call must be the next expected one. */
import type { ExpectedCall } from './fixture.ts';
import {
  makeAccessToken,
  type RecordedCall,
  type ScriptedBackend,
  type Step,
  startScriptedBackend,
  toTokenStep,
} from './scripted-backend.ts';

export interface FixtureBackend {
  /** BACKEND_URL, BACKEND_TOKEN_URL and BACKEND_CREDENTIALS. */
  readonly env: Readonly<Record<string, string>>;
  expect(calls: readonly ExpectedCall[]): void;
  /** What went otherwise than expected, one line each; empty where every call came, and no other. */
  differences(): string[];
  close(): Promise<void>;
}

/** Every credential belongs to the organization `org-<credential>`. */
export async function startFixtureBackend(credentials: readonly string[]): Promise<FixtureBackend> {
  const backend: ScriptedBackend = await startScriptedBackend();
  let expected: ExpectedCall[] = [];
  let unexpected: string[] = [];

  const answer = (call: RecordedCall): Step => {
    if (call.endpoint === 'token') return toToken(call);
    const next = expected.shift();
    const credential = toCredential(call.headers['authorization']);
    const found = `${call.method} ${call.target.slice('/v1'.length)} with ${credential}`;
    if (next !== undefined && found === `${next.method} ${next.path} with ${next.credential}`) return next.answer;
    unexpected.push(
      `the backend got ${found}, not ${next ? `${next.method} ${next.path} with ${next.credential}` : 'nothing'}`,
    );
    return { status: 500 };
  };
  backend.play(answer);

  const list = credentials.map((name) => [name, { client_id: name, client_secret: `secret of ${name}` }]);
  return {
    env: {
      BACKEND_URL: backend.url,
      BACKEND_TOKEN_URL: backend.tokenUrl,
      BACKEND_CREDENTIALS: JSON.stringify(Object.fromEntries(list)),
    },
    expect(calls) {
      expected = [...calls];
      unexpected = [];
    },
    differences: () => [
      ...unexpected,
      ...expected.map((call) => `the backend did not get ${call.method} ${call.path}`),
    ],
    close: () => backend.close(),
  };
}

function toToken(call: RecordedCall): Step {
  const form = call.headers['content-type']?.includes('json')
    ? JSON.parse(call.body)
    : Object.fromEntries(new URLSearchParams(call.body));
  const { client_id: credential, client_secret: secret } = form as Record<string, string>;
  if (secret !== `secret of ${credential}`) return { status: 401, body: { message: 'wrong secret' } };
  return toTokenStep(makeAccessToken(`org-${credential}`, { credential }));
}

function toCredential(authorization = ''): string {
  const [, payload = ''] = authorization.replace(/^Bearer /, '').split('.');
  const claims = JSON.parse(Buffer.from(payload, 'base64url').toString() || '{}') as Record<string, unknown>;
  return String(claims['credential']);
}
