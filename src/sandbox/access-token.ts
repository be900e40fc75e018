/** The sandbox backend's tokens: the client-credentials grant (RFC 6749, section 4.4), and what a token says when it comes back. */
import { randomBytes } from 'node:crypto';
import { errors, jwtVerify, SignJWT } from 'jose';
import type { SandboxOrganization } from './members.ts';
import { type Problem, TOKEN_MISSING, TOKEN_REFUSED } from './problem.ts';

export interface TokenOptions {
  readonly lifetimeSeconds: number;
  /** Milliseconds since the epoch. */
  readonly now: () => number;
}

export interface Grant {
  readonly status: 200 | 400 | 401;
  readonly json: object;
}

/** What a token may do, and for which organization. */
export interface Bearer {
  readonly organizationId: string;
  readonly scopes: readonly string[];
}

const ORGANIZATION_CLAIM = 'dbaas.aerospike.com/org_id';
const ALGORITHM = 'HS256';
const SIGNING_KEY_BYTES = 32;

/** Signs with a key of its own, made here and kept in memory. */
export function createTokenIssuer({ lifetimeSeconds, now }: TokenOptions) {
  const signingKey = randomBytes(SIGNING_KEY_BYTES);

  async function grant(
    fields: ReadonlyMap<string, unknown>,
    organizations: Iterable<SandboxOrganization>,
  ): Promise<Grant> {
    if (fields.get('grant_type') !== 'client_credentials') return refuse(400, 'unsupported_grant_type');
    for (const { id, clientId, clientSecret, scopes } of organizations) {
      if (clientId !== fields.get('client_id') || clientSecret !== fields.get('client_secret')) continue;
      const issuedAt = Math.floor(now() / 1000);
      const token = await new SignJWT({ [ORGANIZATION_CLAIM]: id, scope: scopes.join(' ') })
        .setProtectedHeader({ alg: ALGORITHM, typ: 'JWT' })
        .setIssuedAt(issuedAt)
        .setExpirationTime(issuedAt + lifetimeSeconds)
        .sign(signingKey);
      return { status: 200, json: { access_token: token, token_type: 'Bearer', expires_in: lifetimeSeconds } };
    }
    return refuse(401, 'access_denied');
  }

  async function authenticate(authorization: string | undefined): Promise<Bearer | { readonly problem: Problem }> {
    const token = /^Bearer (\S+)$/i.exec(authorization ?? '')?.[1];
    if (token === undefined) return { problem: TOKEN_MISSING };
    try {
      const { payload } = await jwtVerify(token, signingKey, {
        algorithms: [ALGORITHM],
        currentDate: new Date(now()),
      });
      return { organizationId: `${payload[ORGANIZATION_CLAIM]}`, scopes: `${payload['scope']}`.split(' ') };
    } catch (error) {
      if (error instanceof errors.JOSEError) return { problem: TOKEN_REFUSED };
      throw error;
    }
  }

  return { grant, authenticate };
}

function refuse(status: 400 | 401, error: string): Grant {
  return { status, json: { error } };
}
