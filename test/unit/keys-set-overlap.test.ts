/** What only Workers can do to a load: leave it hanging with its request, so that another must begin (single-flight.ts). */
import { afterEach, expect, it } from 'vitest';
import type { HttpAnswer, Transport } from '../../src/http/transport.ts';
import { FAILURE_COOLDOWN_MS, OVERLAP_MS, REFRESH_MS } from '../../src/keys/key-set.ts';
import { createEcKey, type KeyPair, signToken, toClaims } from '../support/tokens.ts';
import { createVerifier } from '../support/verifier.ts';

const FOLLOWER_WAIT_MS = 20;

const first = createEcKey({ kid: 'first' });
const second = createEcKey({ kid: 'second' });
const token = await signToken(toClaims(), first);
const rotated = await signToken(toClaims(), second);

const answers: ((keys: readonly KeyPair[]) => void)[] = [];
/** Each fetch waits in `answers` until it is told its keys; one that is never told is one whose request was cancelled. */
const transport: Transport = () =>
  new Promise<HttpAnswer>((resolve) => {
    answers.push((keys) => {
      const body = JSON.stringify({ keys: keys.map(({ jwk }) => jwk) });
      resolve({ status: 200, header: () => undefined, body, isTruncated: false });
    });
  });
afterEach(() => void answers.splice(0));

const setUp = () =>
  createVerifier({ url: 'https://uaa.example.com/token_keys', transport, followerWaitMs: FOLLOWER_WAIT_MS });
const turn = () => new Promise((resolve) => setTimeout(resolve, 0));
async function untilFetches(count: number): Promise<void> {
  while (answers.length < count) await turn();
}

it('a follower of a load that was cancelled loads for itself', async () => {
  const verifier = setUp();
  void verifier.present(token);
  await untilFetches(1);
  verifier.clock.monotonicMs += OVERLAP_MS;
  const follower = verifier.present(token);
  await untilFetches(2);
  answers[1]?.([first]);
  expect(await follower).toBe('accepted');
});

it('followers of a slow load do not all fetch at once', async () => {
  const verifier = setUp();
  const leader = verifier.present(token);
  await untilFetches(1);
  const followers = Array.from({ length: 49 }, () => verifier.present(token));
  expect(new Set(await Promise.all(followers))).toEqual(new Set(['unavailable']));
  expect(answers).toHaveLength(1);
  answers[0]?.([first]);
  expect(await leader).toBe('accepted');
});

it('a cancelled refresh keeps nobody waiting, and another one follows it', async () => {
  const verifier = setUp();
  const cold = verifier.present(token);
  await untilFetches(1);
  answers[0]?.([first]);
  await cold;
  verifier.clock.monotonicMs += REFRESH_MS;
  expect(await verifier.present(token)).toBe('accepted');
  await untilFetches(2);
  verifier.clock.monotonicMs += FAILURE_COOLDOWN_MS;
  expect(await verifier.present(token)).toBe('accepted');
  await untilFetches(3);
  answers[2]?.([second]);
  while ((await verifier.present(rotated)) !== 'accepted') await turn();
  const gone = verifier.present(token);
  await untilFetches(4);
  answers[3]?.([second]);
  expect(await gone).toBe('key-unknown');
});

it('a refresh that failed slowly is tried again 5 seconds after its end', async () => {
  const verifier = setUp();
  const cold = verifier.present(token);
  await untilFetches(1);
  answers[0]?.([first]);
  await cold;
  verifier.clock.monotonicMs += REFRESH_MS;
  await verifier.present(token);
  await untilFetches(2);
  verifier.clock.monotonicMs += 3000;
  answers[1]?.([]);
  await verifier.settle();
  verifier.clock.monotonicMs += FAILURE_COOLDOWN_MS - 1;
  await verifier.present(token);
  expect(answers).toHaveLength(2);
  verifier.clock.monotonicMs += 1;
  await verifier.present(token);
  expect(answers).toHaveLength(3);
});

it('an answer that was overtaken does not bring back a key that has gone since', async () => {
  const verifier = setUp();
  const leader = verifier.present(token);
  await untilFetches(1);
  verifier.clock.monotonicMs += OVERLAP_MS;
  const follower = verifier.present(rotated);
  await untilFetches(2);
  answers[1]?.([second]);
  expect(await follower).toBe('accepted');
  answers[0]?.([first]);
  expect(await leader).toBe('key-unknown');
  expect(await verifier.present(rotated)).toBe('accepted');
});

it('invented kids that join a hanging load never begin one', async () => {
  const verifier = setUp();
  const cold = verifier.present(token);
  await untilFetches(1);
  answers[0]?.([first]);
  await cold;
  verifier.clock.monotonicMs += REFRESH_MS;
  await verifier.present(token);
  await untilFetches(2);
  const invented = await Promise.all(
    Array.from({ length: 20 }, (_, index) => signToken(toClaims(), { ...second, kid: `invented ${index}` })),
  );
  verifier.clock.monotonicMs += OVERLAP_MS;
  const verdicts = await Promise.all(invented.map((each) => verifier.present(each)));
  expect(new Set(verdicts)).toEqual(new Set(['key-unknown']));
  expect(answers).toHaveLength(2);
});
