/** Whether each credential of a directory belongs to the organization that the directory says: asked of the backend itself. */
import type { Failure, Result } from '../failure.ts';
import type { DirectoryContents } from './contents.ts';

/** The backend's id of the organization that a credential (by its name) belongs to. Must end by itself. */
export type AskOrganization = (credential: string) => Promise<Result<string>>;

export interface LiveCheck {
  /** Credentials asked about. */
  readonly asked: number;
  /** Those that belong to another organization than the directory says, or could not be asked: one line each. */
  readonly mistakes: readonly string[];
}

/** Few enough for the backend's rate limit, which nobody publishes. */
const CONCURRENCY = 4;

export async function checkLive(
  { organizations }: DirectoryContents,
  askOrganization: AskOrganization,
): Promise<LiveCheck> {
  // Records that share a credential have one organization_id: `contents.ts`.
  const expected = new Map<string, { organizationId: string; guid: string }>();
  for (const { guid, backend } of organizations.values()) {
    if (!expected.has(backend.credential)) expected.set(backend.credential, { ...backend, guid });
  }
  const mistakes: string[] = [];
  const left = expected.entries();
  const work = async () => {
    for (const [credential, { organizationId, guid }] of left) {
      const found = await askOrganization(credential);
      if (found.ok && found.value === organizationId) continue;
      const said = found.ok ? `belongs to organization ${JSON.stringify(found.value)}` : toReason(found.failure);
      const place = `credential ${JSON.stringify(credential)} (organization ${JSON.stringify(guid)})`;
      mistakes.push(`${place}: ${said}; accepted: ${JSON.stringify(organizationId)}, as the directory says`);
    }
  };
  await Promise.all(Array.from({ length: CONCURRENCY }, work));
  return { asked: expected.size, mistakes };
}

function toReason(failure: Failure): string {
  return `cannot be asked: ${failure.kind === 'unavailable' ? failure.reason : failure.kind}`;
}
