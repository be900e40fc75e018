/**
 * The operator's credentials for the backend, and their JSON (BACKEND_CREDENTIALS, decisions.md, section 10). Used at start by
 * `config/credentials.ts`, and again whenever a credential file changes. What a credential is exchanged for: `access-tokens.ts`.
 */
import * as v from 'valibot';
import { type Parsed, parseJsonText } from '../json-text.ts';

/** The operator's credential for one organization of the backend. */
export type Credential =
  | { readonly kind: 'client'; readonly clientId: string; readonly clientSecret: string }
  | { readonly kind: 'token'; readonly token: string };

/** By the name that directory records use. */
export type CredentialList = ReadonlyMap<string, Credential>;

const CREDENTIAL_FORM = '{"client_id": ID, "client_secret": SECRET} or {"token": TOKEN}';

/** What BACKEND_CREDENTIALS accepts, for error messages. */
export const CREDENTIAL_LIST_FORM = `{"NAME": ${CREDENTIAL_FORM}, …}`;

/** The whole list, from JSON. Every mistake is named, by credential; no secret appears in one. */
export function parseCredentialList(json: string): Parsed<CredentialList> {
  const parsed = parseJsonText(json);
  if (!parsed.ok) return parsed;
  const found = parsed.value;
  const list = new Map<string, Credential>();
  const mistakes: string[] = [];
  if (typeof found !== 'object' || found === null || Array.isArray(found)) {
    mistakes.push(`found no JSON object; accepted: ${CREDENTIAL_LIST_FORM}`);
  } else {
    // Own entries, into a Map: `constructor` and `__proto__` are names like any other.
    for (const [name, value] of Object.entries(found)) {
      const credential = v.safeParse(CredentialSchema, value);
      if (name !== '' && credential.success) list.set(name, credential.output);
      else mistakes.push(`under ${toShownName(name)}: found ${NO_CREDENTIAL}`);
    }
    if (list.size === 0 && mistakes.length === 0) {
      mistakes.push(`found no credential; accepted: ${CREDENTIAL_LIST_FORM}`);
    }
  }
  return mistakes.length === 0 ? { ok: true, value: list } : { ok: false, mistakes };
}

/** One credential, from JSON. */
export function parseCredential(json: string): Parsed<Credential> {
  const parsed = parseJsonText(json);
  if (!parsed.ok) return parsed;
  const credential = v.safeParse(CredentialSchema, parsed.value);
  return credential.success
    ? { ok: true, value: credential.output }
    : { ok: false, mistakes: [`found ${NO_CREDENTIAL}`] };
}

const NO_CREDENTIAL = `no credential; accepted: ${CREDENTIAL_FORM}`;

const NonEmpty = v.pipe(v.string(), v.nonEmpty());

/** It becomes a header value as it is: a space or line end, pasted along with it, would break or split the header (RFC 6750, section 2.1). */
const HeaderToken = v.pipe(v.string(), v.regex(/^[\x21-\x7e]+$/));

const CredentialSchema = v.union([
  v.pipe(
    v.strictObject({ client_id: NonEmpty, client_secret: NonEmpty }),
    v.transform(
      ({ client_id, client_secret }): Credential => ({
        kind: 'client',
        clientId: client_id,
        clientSecret: client_secret,
      }),
    ),
  ),
  v.pipe(
    v.strictObject({ token: HeaderToken }),
    v.transform(({ token }): Credential => ({ kind: 'token', token })),
  ),
]);

const SHOWN_NAME_LENGTH = 40;

/** A name helps to find the mistake; anything longer than a name may be a secret in the wrong place. */
function toShownName(name: string): string {
  if (name === '') return 'an empty name';
  return name.length <= SHOWN_NAME_LENGTH ? JSON.stringify(name) : `a name of ${name.length} characters`;
}
