/** The directory in a file (Node only), held in memory whole. Its JSON: `contents.ts`; how a change is noticed: `watched-file.ts`. */
import type { Parsed } from '../json-text.ts';
import type { Log } from '../telemetry/log.ts';
import { openWatchedFile } from '../watched-file.ts';
import { parseDirectory } from './contents.ts';
import type { DirectorySource } from './source.ts';
import { decideBackendUser, toReservedIds } from './users.ts';

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
    return { ok: true as const, value: { ...parsed.value, reserved: toReservedIds(parsed.value.users) } };
  };
  const opened = await openWatchedFile({ ...options, parse });
  if (!opened.ok) return opened;
  const { current, version, close } = opened.value;
  return {
    ok: true,
    value: {
      organization: async (guid) => ({ value: current().organizations.get(guid), version: version() }),
      async backendUser(legacyUser) {
        const { users, unmappedUsers, reserved } = current();
        const isReserved = reserved.has(legacyUser.toLowerCase());
        const value = decideBackendUser({ legacyUser, mapped: users.get(legacyUser), unmappedUsers, isReserved });
        return { value, version: version() };
      },
      async describe() {
        const { organizations, users } = current();
        return { version: version(), organizations: organizations.size, users: users.size };
      },
      version,
      close,
    },
  };
}
