/** One request to the token endpoint: the client-credentials grant (RFC 6749, section 4.4). Keeping what it gives: `access-tokens.ts`. */
import * as v from 'valibot';
import { type Result, succeed } from '../failure.ts';
import { type HttpAnswer, type Transport, TransportError } from '../http/transport.ts';
import type { Credential } from './credential-list.ts';
import { parseObject } from './json-body.ts';
import { unavailable } from './unavailable.ts';

export interface GrantedToken {
  readonly value: string;
  readonly lifetimeMs: number;
}

export interface TokenRequestOptions {
  readonly tokenUrl: string | undefined;
  readonly timeoutMs: number;
  readonly transport: Transport;
}

const MOST_BYTES = 65_536;

/** Where `expires_in` does not say: short enough to be safe, long enough not to ask all the time. */
const DEFAULT_LIFETIME_MS = 300_000;

/** Fails with `unavailable`. Neither secret nor token appears in a reason. */
export async function requestToken(
  credential: Credential,
  { tokenUrl, timeoutMs, transport }: TokenRequestOptions,
): Promise<Result<GrantedToken>> {
  if (credential.kind !== 'client' || tokenUrl === undefined) return unavailable('there is no token endpoint to ask');
  // A form, as RFC 6749 has it and the vendor's own client sends it. The vendor's documents send JSON, which is
  // that service's extension: another service may know forms only (backend.md, section 2).
  const body = new URLSearchParams({
    grant_type: 'client_credentials',
    client_id: credential.clientId,
    client_secret: credential.clientSecret,
  });
  try {
    const answer = await transport({
      method: 'POST',
      url: tokenUrl,
      headers: { 'Content-Type': 'application/x-www-form-urlencoded', Accept: 'application/json' },
      body: body.toString(),
      timeoutMs,
      maxBytes: MOST_BYTES,
    });
    return parseGrant(answer);
  } catch (error) {
    if (!(error instanceof TransportError)) throw error;
    return unavailable(`the token endpoint gave no answer: ${error.code}`);
  }
}

/** It becomes a header value as it is (RFC 6750, section 2.1); 16 KiB is what servers take at most. */
const TokenText = v.pipe(v.string(), v.regex(/^[\x21-\x7e]+$/), v.maxLength(16_384));

/** Some services send the number as text. */
const Seconds = v.pipe(
  v.union([v.number(), v.pipe(v.string(), v.regex(/^\d+$/), v.transform(Number))]),
  v.finite(),
  v.minValue(1),
);

const Grant = v.object({
  access_token: TokenText,
  // A token of a type that is not understood must not be used (RFC 6749, section 7.1).
  token_type: v.optional(v.pipe(v.string(), v.regex(/^bearer$/i))),
  expires_in: v.fallback(v.optional(Seconds), undefined),
});

function parseGrant(answer: HttpAnswer): Result<GrantedToken> {
  if (answer.status !== 200) return unavailable(`the token endpoint answered ${answer.status}`);
  const grant = v.safeParse(Grant, parseObject(answer.body));
  if (answer.isTruncated || !grant.success)
    return unavailable('the token endpoint answered 200 without a bearer token');
  const { access_token, expires_in } = grant.output;
  return succeed({
    value: access_token,
    lifetimeMs: expires_in === undefined ? DEFAULT_LIFETIME_MS : expires_in * 1_000,
  });
}
