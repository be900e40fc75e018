/**
 * Puts organizations of the benchmark's kind into Redis by the loader that `npm run directory` uses, past its file: a file
 * of a million records is longer than a string may be. Bundled by `scale.mjs`. Arguments: Redis URL, organizations, world's folder.
 */
import { Redis } from 'ioredis';
import { parseRecord } from '../src/directory/record.ts';
import { replaceDirectory } from '../src/redis/load-directory.ts';
import { toRecord } from './world.mjs';

const [, , url, count, credentials] = process.argv;
const client = new Redis(url);
await replaceDirectory(client, `bench-${count}`, {
  organizations: toOrganizations(Number(count), Number(credentials)),
  users: [],
  reserved: [],
  unmappedUsers: 'same',
});
client.disconnect();

/** Many of them share a credential, and so an organization of the backend. */
function* toOrganizations(total, shared) {
  for (let index = 0; index < total; index += 1) {
    const parsed = parseRecord({ ...toRecord(index), backend: toRecord(index % shared).backend }, []);
    if (!parsed.ok) throw new Error(parsed.mistakes.join('\n'));
    yield parsed.value.organization;
  }
}
