/**
 * The directory's file (decisions.md, section 5): `{organizations: [record, …], users: {legacy id: backend UUID},
 * unmapped_users?: "refuse" | "same"}`. One record: `record.ts`. What a mapping means: `users.ts`.
 */
import * as v from 'valibot';
import { type Parsed, parseJsonText, toJsonPath } from '../json-text.ts';
import type { Organization } from '../policy/organization.ts';
import { findUnknownMembers, isObject, legacyId, type OrganizationRecord, parseRecord, toFound } from './record.ts';
import { isUuid, type UnmappedUsers } from './users.ts';

/** A valid directory. */
export interface DirectoryContents {
  /** By guid. */
  readonly organizations: ReadonlyMap<string, Organization>;
  /** Backend ids (lower-case UUIDs) by legacy id. */
  readonly users: ReadonlyMap<string, string>;
  readonly unmappedUsers: UnmappedUsers;
}

/** All or nothing; every mistake with its JSON path, what was found and what is accepted. */
export function parseDirectory(text: string): Parsed<DirectoryContents> {
  const json = parseJsonText(text);
  if (!json.ok) return { ok: false, mistakes: cap(json.mistakes) };
  const input = json.value;
  if (!isObject(input)) {
    return { ok: false, mistakes: [`the whole: found ${toFound(input)}; accepted: an object with ${MEMBERS}`] };
  }
  const records = parseRecords(input['organizations']);
  const users = parseUsers(input['users']);
  const unmappedUsers = parseUnmappedUsers(input['unmapped_users']);
  const mistakes = [
    ...findUnknownMembers(input, ACCEPTED, []),
    ...records.mistakes,
    ...findDoubles(records.records),
    ...users.mistakes,
    ...unmappedUsers.mistakes,
  ];
  if (mistakes.length > 0) return { ok: false, mistakes: cap(mistakes) };
  const organizations = new Map<string, Organization>();
  for (const { organization } of records.records) organizations.set(organization.guid, organization);
  return { ok: true, value: { organizations, users: users.users, unmappedUsers: unmappedUsers.value } };
}

const ACCEPTED = {
  organizations: 'a list of organization records, which may be empty',
  users: 'an object of backend user ids (UUIDs) by legacy user id, which may be empty',
  unmapped_users: '"refuse" (also where it is absent) or "same"',
};

const MEMBERS = Object.keys(ACCEPTED).join(', ');

interface PlacedRecord extends OrganizationRecord {
  readonly index: number;
}

function parseRecords(input: unknown): { records: PlacedRecord[]; mistakes: string[] } {
  const records: PlacedRecord[] = [];
  const mistakes: string[] = [];
  if (!Array.isArray(input)) mistakes.push(toMistake('organizations', input));
  for (const [index, item] of Array.isArray(input) ? input.entries() : []) {
    const parse = parseRecord(item, ['organizations', index]);
    if (parse.ok) records.push({ ...parse.value, index });
    else for (const mistake of parse.mistakes) mistakes.push(mistake);
  }
  return { records, mistakes };
}

function parseUsers(input: unknown): { users: Map<string, string>; mistakes: string[] } {
  const users = new Map<string, string>();
  const mistakes: string[] = [];
  if (!isObject(input)) return { users, mistakes: [toMistake('users', input)] };
  // Own members only, into a Map: `__proto__` is a name like any other.
  for (const [legacyUser, backendUser] of Object.entries(input)) {
    const path = toJsonPath(['users', legacyUser]);
    if (!v.is(legacyId, legacyUser)) mistakes.push(`${path}: found a name that no legacy user id can be`);
    if (typeof backendUser === 'string' && isUuid(backendUser)) users.set(legacyUser, backendUser.toLowerCase());
    else mistakes.push(`${path}: found ${toFound(backendUser)}; accepted: the backend's user id, a UUID`);
  }
  for (const [legacyUser, backendUser] of users) {
    // The value of a mapping is never accepted as a legacy id, so that each id in a path means one user only.
    const other = users.get(backendUser);
    if (other === undefined || other === backendUser) continue;
    const path = toJsonPath(['users', legacyUser]);
    mistakes.push(
      `${path}: found "${backendUser}", which is also a legacy user id here, of another user; accepted: one of both`,
    );
  }
  return { users, mistakes };
}

function parseUnmappedUsers(input: unknown): { value: UnmappedUsers; mistakes: string[] } {
  if (input === undefined || input === 'refuse') return { value: 'refuse', mistakes: [] };
  if (input === 'same') return { value: 'same', mistakes: [] };
  return { value: 'refuse', mistakes: [toMistake('unmapped_users', input)] };
}

function toMistake(member: keyof typeof ACCEPTED, input: unknown): string {
  return `${member}: found ${toFound(input)}; accepted: ${ACCEPTED[member]}`;
}

/** Two records of one guid; and of one backend organization, since a copied line would remove people from a stranger's. */
function findDoubles(records: readonly PlacedRecord[]): string[] {
  const mistakes: string[] = [];
  for (const group of groupBy(records, ({ organization }) => organization.guid)) {
    mistakes.push(
      `${toPlaces(group)}: found one guid (${toFound(group[0]?.organization.guid)}); accepted: one record for each`,
    );
  }
  for (const group of groupBy(records, ({ organization }) => organization.backend.credential)) {
    const ids = new Set(group.map(({ organization }) => organization.backend.organizationId));
    if (ids.size > 1) {
      mistakes.push(
        `${toPlaces(group)}: found one credential with ${ids.size} organization_ids; accepted: one, since a credential belongs to one organization`,
      );
    } else if (!group.every(({ isShared }) => isShared)) {
      mistakes.push(
        `${toPlaces(group)}: found one credential; accepted: another for each guid, or "shared": true in each of these records`,
      );
    }
  }
  for (const group of groupBy(records, ({ organization }) => organization.backend.organizationId)) {
    if (group.every(({ isShared }) => isShared)) continue;
    mistakes.push(
      `${toPlaces(group)}: found one organization_id; accepted: another for each guid, or "shared": true in each of these records`,
    );
  }
  return mistakes;
}

/** Only the groups of two and more. */
function groupBy(records: readonly PlacedRecord[], toKey: (record: PlacedRecord) => string): PlacedRecord[][] {
  const groups = new Map<string, PlacedRecord[]>();
  for (const record of records) {
    const key = toKey(record);
    const group = groups.get(key);
    if (group === undefined) groups.set(key, [record]);
    else group.push(record);
  }
  return [...groups.values()].filter(({ length }) => length > 1);
}

/** Enough of a group to find it. */
const SHOWN_PLACES = 5;

function toPlaces(group: readonly PlacedRecord[]): string {
  const places = group.slice(0, SHOWN_PLACES).map(({ index }) => toJsonPath(['organizations', index]));
  const rest = group.length - places.length;
  return `${places.join(', ')}${rest > 0 ? ` and ${rest} more` : ''}`;
}

/** Enough to work through at once, few enough for one log line. */
const MAX_MISTAKES = 50;

function cap(mistakes: readonly string[]): readonly string[] {
  const rest = mistakes.length - MAX_MISTAKES;
  return rest <= 0 ? mistakes : [...mistakes.slice(0, MAX_MISTAKES), `and ${rest} more`];
}
