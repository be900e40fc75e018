/** The directory in a file (Node only), held in memory whole. Its JSON: `contents.ts`; how a change is noticed: `watched-file.ts`. */
import type { Parsed } from '../json-text.ts';
import type { Log } from '../telemetry/log.ts';
import { openWatchedFile } from '../watched-file.ts';
import { parseDirectory } from './contents.ts';
import type { DirectorySource } from './source.ts';
import { createFindBackendUser, toReservedIds } from './users.ts';

export interface FileDirectoryOptions {
  readonly path: string;
  readonly log: Log;
  readonly pollMs?: number;
}

export interface FileDirectory extends DirectorySource {
  close(): void;
}

export async function openFileDirectory(options: FileDirectoryOptions): Promise<Parsed<FileDirectory>> {
  const parse = (text: string) => {
    const parsed = parseDirectory(text);
    if (!parsed.ok) return parsed;
    const { users, unmappedUsers } = parsed.value;
    const findBackendUser = createFindBackendUser(users, toReservedIds(users), unmappedUsers);
    return { ok: true as const, value: { ...parsed.value, findBackendUser } };
  };
  const opened = await openWatchedFile({ ...options, parse });
  if (!opened.ok) return opened;
  const { current, version, close } = opened.value;
  return {
    ok: true,
    value: {
      organization: async (guid) => ({ value: current().organizations.get(guid), version: version() }),
      backendUser: async (legacyUser) => ({ value: current().findBackendUser(legacyUser), version: version() }),
      allUsers: async () => ({ value: current().findBackendUser, version: version() }),
      mapsTooMany: () => false,
      async describe() {
        const { organizations, users } = current();
        return { version: version(), organizations: organizations.size, users: users.size };
      },
      version,
      close,
    },
  };
}
