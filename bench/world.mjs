/**
 * What the benchmark is about: keys, tokens, organizations and credentials, made new for each run and written to files,
 * so that every contender and the load generator read the same. Organization 0 is the page's.
 */
import { createHmac, generateKeyPairSync, randomBytes, randomUUID, sign } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';

/** RSA signing is most of the time a world takes; in libuv's pool both cores share it. */
const signLater = promisify(sign);

const TOKEN_LIFETIME_SECONDS = 6 * 3600;

/** Signatures asked for at once. */
const BATCH = 64;

/** The page's organization and user (test/contract/legacy-page.txt). */
export const PAGE = {
  guid: '211f7701-2715-479b-afbc-811f767fb131',
  user: 'uaa-id-110',
  backendUser: '7b1f4c52-91d4-4c7e-b0e6-6f0f6b6c2e37',
};

/**
 * `folder` gets `organizations.json`, `credentials.json`, `secret`, `public.pem`, `HS256.tokens` and `RS256.tokens`.
 * Signing an RSA token takes half a millisecond, so `tokens` is what this costs.
 */
export async function createWorld(folder, { organizations, tokens }) {
  const secret = randomBytes(48).toString('base64url');
  const { privateKey, publicKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
  const publicPem = publicKey.export({ format: 'pem', type: 'spki' });
  const path = (name) => join(folder, name);
  writeFileSync(path('secret'), secret);
  writeFileSync(path('public.pem'), publicPem);

  const records = Array.from({ length: organizations }, (_, index) => toRecord(index));
  const directory = { organizations: records, users: { [PAGE.user]: PAGE.backendUser }, unmapped_users: 'same' };
  writeFileSync(path('organizations.json'), JSON.stringify(directory));
  writeFileSync(path('guids'), records.map(({ guid }) => `${guid}\n`).join(''));
  const credentials = Object.fromEntries(records.map(({ backend }) => [backend.credential, toCredential(backend)]));
  writeFileSync(path('credentials.json'), JSON.stringify(credentials));

  const signers = {
    HS256: async (input) => createHmac('sha256', secret).update(input).digest('base64url'),
    RS256: async (input) => (await signLater('sha256', Buffer.from(input), privateKey)).toString('base64url'),
  };
  const signToken = async (alg, claims, signer = signers[alg]) => {
    const input = toSigningInput({ alg, typ: 'JWT' }, claims);
    return `${input}.${await signer(input)}`;
  };
  for (const alg of ['HS256', 'RS256']) {
    const signed = [];
    for (let index = 0; index < tokens; index += BATCH) {
      const batch = Array.from({ length: Math.min(BATCH, tokens - index) }, (_, offset) =>
        signToken(alg, toClaims({ user_id: `uaa-id-${index + offset}` })),
      );
      signed.push(...(await Promise.all(batch)));
    }
    writeFileSync(path(`${alg}.tokens`), signed.map((token) => `${token}\n`).join(''));
  }
  return { folder, path, secret, publicPem, signToken, records, credentials, pageBody: toPageBody() };
}

/** The claims of the page's token, for a caller of its own who may remove anybody. */
export function toClaims(changes = {}) {
  return {
    user_id: `uaa-id-${randomUUID()}`,
    email: 'email-86@somedomain.com',
    scope: ['cloud_controller.admin'],
    aud: ['cloud_controller'],
    exp: Math.floor(Date.now() / 1000) + TOKEN_LIFETIME_SECONDS,
    ...changes,
  };
}

export function toSigningInput(header, claims) {
  return [header, claims].map((part) => Buffer.from(JSON.stringify(part)).toString('base64url')).join('.');
}

/** One UUID for each number and kind (a hexadecimal digit). */
export function toUuid(index, kind) {
  const hex = index.toString(16).padStart(12, '0');
  return `${hex.slice(-8)}-${hex.slice(0, 4)}-4000-8000-${kind.repeat(12)}`;
}

export function toRecord(index) {
  const isPage = index === 0;
  return {
    guid: isPage ? PAGE.guid : toUuid(index, 'a'),
    name: isPage ? 'name-505' : `organization-${index}`,
    created_at: '2014-11-24T19:32:37+00:00',
    updated_at: null,
    billing_enabled: false,
    quota_definition_guid: isPage ? '221c8e4c-a25f-455d-9514-ee4f0252285a' : toUuid(index, 'b'),
    status: 'active',
    managers: [`uaa-id-${index}`],
    backend: { organization_id: toUuid(index, 'd'), credential: `credential-${index}` },
  };
}

/** A static token that says whose it is, so that no token endpoint is needed. Nobody here checks its signature. */
function toCredential({ organization_id, credential }) {
  const claims = { 'dbaas.aerospike.com/org_id': organization_id, sub: credential };
  return { token: `${toSigningInput({ alg: 'RS256' }, claims)}.${randomBytes(256).toString('base64url')}` };
}

/** As printed on the page: 1304 bytes. Written out, so that no contender's renderer is checked against another's. */
function toPageBody() {
  const url = `/v2/organizations/${PAGE.guid}`;
  return `{
  "metadata": {
    "guid": "${PAGE.guid}",
    "url": "${url}",
    "created_at": "2014-11-24T19:32:37+00:00",
    "updated_at": null
  },
  "entity": {
    "name": "name-505",
    "billing_enabled": false,
    "quota_definition_guid": "221c8e4c-a25f-455d-9514-ee4f0252285a",
    "status": "active",
    "quota_definition_url": "/v2/quota_definitions/221c8e4c-a25f-455d-9514-ee4f0252285a",
    "spaces_url": "${url}/spaces",
    "domains_url": "${url}/domains",
    "private_domains_url": "${url}/private_domains",
    "users_url": "${url}/users",
    "managers_url": "${url}/managers",
    "billing_managers_url": "${url}/billing_managers",
    "auditors_url": "${url}/auditors",
    "app_events_url": "${url}/app_events",
    "space_quota_definitions_url": "${url}/space_quota_definitions"
  }
}`;
}
