/**
 * One organization of the directory, as its JSON and as the policy sees it. Both sources read it with this parser; the
 * whole file, users and what must not stand twice: `contents.ts`.
 */
import * as v from 'valibot';
import { toJsonPath } from '../json-text.ts';
import type { Organization } from '../policy/organization.ts';
import { parseTimestamp, toTimestamp } from './timestamp.ts';

/** An id or name of the legacy server fitted a VARCHAR(255). */
export const MAX_ID_LENGTH = 255;

/** Control characters the legacy server never allowed; half a surrogate pair does not survive UTF-8. */
const text = v.pipe(v.string(), v.nonEmpty(), v.maxLength(MAX_ID_LENGTH), v.regex(/^[^\p{Cc}\p{Cs}]+$/u));

/** Legacy ids need not be UUIDs, but stand in a path: none with a slash could ever be asked for. */
export const legacyId = v.pipe(text, v.excludes('/'));

const seconds = v.pipe(
  v.string(),
  v.rawTransform<string, number>(({ dataset, addIssue, NEVER }) => {
    const parsed = parseTimestamp(dataset.value);
    if (parsed !== undefined) return parsed;
    addIssue();
    return NEVER;
  }),
);

const object = v.custom<Record<string, unknown>>(isObject);

const backend = v.object({ organization_id: text, credential: text });

const record = v.object({
  guid: legacyId,
  name: text,
  created_at: seconds,
  updated_at: v.nullable(seconds),
  billing_enabled: v.boolean(),
  quota_definition_guid: v.nullable(legacyId),
  status: v.picklist(['active', 'suspended']),
  managers: v.array(legacyId),
  backend: v.pipe(object, backend),
  shared: v.optional(v.boolean()),
});

const recordSchema = v.pipe(object, record);

export interface OrganizationRecord {
  readonly organization: Organization;
  /** The operator says that other records may name the same credential or organization of the backend. */
  readonly isShared: boolean;
}

export type RecordParse =
  | { readonly ok: true; readonly value: OrganizationRecord }
  | { readonly ok: false; readonly mistakes: readonly string[] };

/** `path` is where the record stands, for the mistakes. */
export function parseRecord(input: unknown, path: readonly (string | number)[]): RecordParse {
  const parse = v.safeParse(recordSchema, input, { abortPipeEarly: true });
  const mistakes = [
    ...(parse.issues ?? []).map((issue) => toRecordMistake(issue, path)),
    ...findUnknownMembers(input, record.entries, path),
    ...(isObject(input) ? findUnknownMembers(input['backend'], backend.entries, [...path, 'backend']) : []),
  ];
  if (!parse.success || mistakes.length > 0) return { ok: false, mistakes };
  const { output } = parse;
  return {
    ok: true,
    value: {
      organization: {
        guid: output.guid,
        name: output.name,
        createdAtSeconds: output.created_at,
        updatedAtSeconds: output.updated_at,
        billingEnabled: output.billing_enabled,
        quotaDefinitionGuid: output.quota_definition_guid,
        status: output.status,
        managers: new Set(output.managers),
        backend: { organizationId: output.backend.organization_id, credential: output.backend.credential },
      },
      isShared: output.shared === true,
    },
  };
}

/** The JSON of a record, always the same for the same organization, so that two can be compared as text. */
export function toRecordJson(organization: Organization): string {
  return JSON.stringify({
    guid: organization.guid,
    name: organization.name,
    created_at: toTimestamp(organization.createdAtSeconds),
    updated_at: organization.updatedAtSeconds === null ? null : toTimestamp(organization.updatedAtSeconds),
    billing_enabled: organization.billingEnabled,
    quota_definition_guid: organization.quotaDefinitionGuid,
    status: organization.status,
    managers: [...organization.managers].sort(),
    backend: {
      organization_id: organization.backend.organizationId,
      credential: organization.backend.credential,
    },
  });
}

export function isObject(input: unknown): input is Record<string, unknown> {
  return typeof input === 'object' && input !== null && !Array.isArray(input);
}

/** A member with a wrong name would be lost without a word: "manager" would leave an organization without any. */
export function findUnknownMembers(input: unknown, known: object, path: readonly (string | number)[]): string[] {
  if (!isObject(input)) return [];
  return Object.keys(input)
    .filter((name) => !Object.hasOwn(known, name))
    .map((name) => `${toJsonPath([...path, name])}: unknown member; accepted: ${Object.keys(known).join(', ')}`);
}

const LEGACY_ID = `1 to ${MAX_ID_LENGTH} characters without "/" and control characters`;
const TEXT = `1 to ${MAX_ID_LENGTH} characters without control characters`;
const TIME =
  'a time like 2014-11-24T19:32:37Z, with any offset and whole seconds (the legacy server kept no fractions)';

/** What is accepted where, for the mistakes; `[]` is any element. */
const ACCEPTED: ReadonlyMap<string, string> = new Map([
  ['', 'an organization record'],
  ['guid', LEGACY_ID],
  ['name', TEXT],
  ['created_at', TIME],
  ['updated_at', `null, or ${TIME}`],
  ['billing_enabled', 'true or false'],
  ['quota_definition_guid', `null, or ${LEGACY_ID}`],
  ['status', '"active" or "suspended"'],
  ['managers', 'a list of legacy user ids, which may be empty'],
  ['managers[]', `a legacy user id: ${LEGACY_ID}`],
  ['backend', 'an object with organization_id and credential'],
  ['backend.organization_id', TEXT],
  ['backend.credential', `a name in BACKEND_CREDENTIALS: ${TEXT}`],
  ['shared', 'true or false'],
]);

function toRecordMistake(issue: v.BaseIssue<unknown>, path: readonly (string | number)[]): string {
  const keys = (issue.path ?? []).map((item) => item.key as string | number);
  const place = keys.map((key) => (typeof key === 'number' ? '[]' : `.${key}`)).join('');
  const member = place.replace(/^\./, '');
  // Whoever writes the credential itself where its name belongs shall not find it in a log.
  const found = member === 'backend.credential' ? toKind(issue.input) : toFound(issue.input);
  return `${toJsonPath([...path, ...keys])}: found ${found}; accepted: ${ACCEPTED.get(member)}`;
}

/** As much of a wrong value as helps to recognise it. */
const SHOWN_LENGTH = 60;

/** A wrong value as a mistake shows it. */
export function toFound(input: unknown): string {
  if (typeof input !== 'string') return toKind(input);
  const shown = JSON.stringify(input.length <= SHOWN_LENGTH ? input : `${input.slice(0, SHOWN_LENGTH)}…`);
  return shown === '""' ? 'an empty text' : shown;
}

function toKind(input: unknown): string {
  if (typeof input === 'string') return `a text of ${input.length} characters`;
  if (Array.isArray(input)) return 'a list';
  if (isObject(input)) return 'an object';
  return input === undefined ? 'nothing' : `${input}`;
}
