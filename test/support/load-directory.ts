/** Loads a directory into a Redis the way the command does. */
import { randomUUID } from 'node:crypto';
import { Redis } from 'ioredis';
import { parseDirectory } from '../../src/directory/contents.ts';
import { loadDirectory as load } from '../../src/redis/load-directory.ts';

/** `json` is the text of a directory file. */
export async function loadDirectory(redisUrl: string, json: string): Promise<void> {
  const parsed = parseDirectory(json);
  if (!parsed.ok) throw new Error(parsed.mistakes.join('\n'));
  const client = new Redis(redisUrl);
  await load(client, parsed.value, randomUUID());
  await client.quit();
}
