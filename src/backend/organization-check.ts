/**
 * Whose organization an access token is for: a wrong mapping would remove somebody from the wrong organization and be
 * told that all is well (backend.md, section 2). The answer is kept with the token and compared with every removal's.
 */
import { decodeJwt } from 'jose';
import { type Result, succeed } from '../failure.ts';
import { SingleFlight } from '../single-flight.ts';
import type { AccessToken } from './access-tokens.ts';
import { Deadline } from './deadline.ts';
import { type BackendCall, type BackendHost, startProgress } from './host.ts';
import { parseObject, toText } from './json-body.ts';
import { unavailable } from './unavailable.ts';

export interface OrganizationCheckOptions {
  readonly host: BackendHost;
  /** For one look-up, which several requests may share. */
  readonly timeoutMs: number;
  readonly monotonicMs: () => number;
}

/** The organization's id; or that the backend refuses the token; or a failure of kind `unavailable`. */
export type TokenOrganization = Result<string> | 'token-refused';

const MOST_BYTES = 65_536;

/** A look-up that failed is not repeated sooner. */
const FAILURE_MEMORY_MS = 1_000;

/** Aerospike Cloud's; the token came straight from the token endpoint, so that its signature proves nothing more. */
const ORGANIZATION_CLAIM = 'dbaas.aerospike.com/org_id';

export class OrganizationCheck {
  readonly #options: OrganizationCheckOptions;
  readonly #known = new WeakMap<AccessToken, { readonly found: TokenOrganization; readonly until: number }>();
  readonly #flights = new SingleFlight<TokenOrganization>();

  constructor(options: OrganizationCheckOptions) {
    this.#options = options;
  }

  /** What can be said without asking the backend. */
  find(token: AccessToken): TokenOrganization | undefined {
    const known = this.#known.get(token);
    if (known) return this.#options.monotonicMs() < known.until ? known.found : undefined;
    const claimed = readClaim(token.authorization);
    return claimed === undefined ? undefined : this.#keep(token, succeed(claimed));
  }

  /** Asks the backend, one request for all who want to know. */
  async load(token: AccessToken, call: BackendCall): Promise<TokenOrganization> {
    return this.#flights.run(token.serial, call.scope, async () => this.#keep(token, await this.#ask(token, call)));
  }

  async #ask(token: AccessToken, call: BackendCall): Promise<TokenOrganization> {
    const { host, timeoutMs, monotonicMs } = this.#options;
    // Others may be waiting for it, so it has a deadline of its own.
    const deadline = new Deadline(timeoutMs, monotonicMs);
    const { authorization } = token;
    const request = { method: 'GET', path: '/organization', authorization, maxBytes: MOST_BYTES } as const;
    const sent = await host.send(request, { ...call, deadline }, startProgress());
    if (sent.kind !== 'answer') {
      return unavailable(`GET /organization: ${sent.kind === 'lost' ? `no answer: ${sent.code}` : sent.detail}`);
    }
    const { status, body, isTruncated } = sent.answer;
    if (status === 401) return 'token-refused';
    const id = status === 200 && !isTruncated ? toText(parseObject(body)?.['id']) : undefined;
    return id ? succeed(id) : unavailable(`GET /organization: answered ${status} without an organization id`);
  }

  #keep(token: AccessToken, found: TokenOrganization): TokenOrganization {
    const isLasting = found !== 'token-refused' && found.ok;
    const until = isLasting ? Number.POSITIVE_INFINITY : this.#options.monotonicMs() + FAILURE_MEMORY_MS;
    this.#known.set(token, { found, until });
    return found;
  }
}

/** A missing claim, one of another type, or a token that is no JWT: then the backend must say (never "fine"). */
function readClaim(authorization: string): string | undefined {
  try {
    return toText(decodeJwt(authorization.slice('Bearer '.length))[ORGANIZATION_CLAIM]) || undefined;
  } catch {
    return undefined;
  }
}
