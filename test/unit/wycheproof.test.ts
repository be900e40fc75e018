/**
 * Wycheproof's vectors (test/vectors) through the real verifier: an `oct` key as LEGACY_TOKEN_SECRET, every other key or
 * set as the answer of LEGACY_TOKEN_KEYS_URL. Their payload is `foo`, which is no claims: a token refused for that alone
 * had a signature that was accepted.
 */
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createSecretKeyRing } from '../../src/keys/secret.ts';
import { createAuthenticate } from '../../src/policy/authenticate.ts';
import { type KeyServer, startKeyServer } from '../support/key-server.ts';
import { createVerifier } from '../support/verifier.ts';

interface Jwk {
  readonly kty: string;
  readonly k?: string;
}

interface Group {
  readonly comment: string;
  readonly public?: Jwk | { readonly keys: readonly Jwk[] };
  readonly private: Jwk | { readonly keys: readonly Jwk[] };
  readonly tests: readonly {
    readonly tcId: number;
    readonly comment: string;
    readonly result: 'valid' | 'invalid';
    readonly jws?: unknown;
    readonly jwe?: unknown;
  }[];
}

const JWE = 'Holdover reads no encrypted tokens: five parts never reach the verifier';
const SYMMETRIC_SET = 'a secret in a key set verifies nothing, since anybody may read the set';
const ROCA =
  'keys are the operator’s own choice: they are checked for size and exponent, not for how they were generated';
const NO_ALG = 'LEGACY_TOKEN_SECRET is bytes alone: it has no "alg" that could say "not for signatures"';

/** Where Holdover does not do as the vector expects, and why that is meant. */
const DEVIATIONS: Readonly<Record<string, Readonly<Record<number, string>>>> = {
  wycheproof_json_web_crypto_test: { 46: ROCA, 48: SYMMETRIC_SET, 50: JWE, 67: JWE },
  wycheproof_json_web_key_test: { 2: SYMMETRIC_SET, 7: ROCA, 25: NO_ALG, 26: NO_ALG },
};

const VECTORS = { wycheproof_json_web_crypto_test: 83, wycheproof_json_web_key_test: 26 };

let server: KeyServer;
beforeAll(async () => {
  server = await startKeyServer();
});
afterAll(() => server.close());

function readGroups(file: string): readonly Group[] {
  const url = new URL(`../vectors/${file}.json`, import.meta.url);
  return (JSON.parse(readFileSync(url, 'utf8')) as { testGroups: Group[] }).testGroups;
}

/** Ends in `claims-unreadable` where the signature was accepted, else in why it was not. */
async function present(group: Group, token: string): Promise<string> {
  const given = group.public ?? group.private;
  const keys = 'keys' in given ? given.keys : [given];
  const [first, ...others] = keys;
  if (first?.kty === 'oct' && others.length === 0)
    return presentToSecret(Buffer.from(first.k ?? '', 'base64url'), token);
  server.publish(keys);
  const verifier = createVerifier({ url: server.url });
  // Without a key nothing is verified, and the claims are what a token is refused for.
  const primed = await verifier.keySet.prime(verifier.scope);
  return primed.ok ? verifier.present(token) : 'no-key-is-fit';
}

async function presentToSecret(secret: Uint8Array, token: string): Promise<string> {
  const authenticate = createAuthenticate<unknown>({
    keys: createSecretKeyRing(secret),
    issuer: undefined,
    audience: 'cloud_controller',
    epochSeconds: () => 0,
    sha256: (text) => createHash('sha256').update(text).digest('hex'),
    onCacheLookup() {},
  });
  const result = await authenticate(`bearer ${token}`, undefined);
  if (result.ok) throw new Error('no vector has claims');
  return result.failure.kind === 'token-invalid' ? result.failure.reason : result.failure.kind;
}

describe.each(Object.entries(VECTORS))('%s', (file, count) => {
  const groups = readGroups(file);
  const deviations = new Map(Object.entries(DEVIATIONS[file] ?? {}).map(([id, reason]) => [Number(id), reason]));

  it(`has ${count} vectors, those that deviate among them`, () => {
    const ids = groups.flatMap(({ tests }) => tests.map(({ tcId }) => tcId));
    expect(new Set(ids).size).toBe(count);
    expect(ids).toEqual(expect.arrayContaining([...deviations.keys()]));
  });

  for (const group of groups) {
    for (const { tcId, comment, result, jws, jwe } of group.tests) {
      const deviation = deviations.get(tcId);
      const expected = (result === 'valid') !== (deviation !== undefined) ? 'accepts' : 'refuses';
      it(`${expected} ${group.comment} ${tcId}, ${comment}${deviation ? `: ${deviation}` : ''}`, async () => {
        const given = jws ?? jwe;
        const token = typeof given === 'string' ? given : JSON.stringify(given);
        const verdict = await present(group, token);
        expect(verdict === 'claims-unreadable' ? 'accepts' : 'refuses', verdict).toBe(expected);
      });
    }
  }
});
