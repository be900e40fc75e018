/** A process of its own that takes from one quota when it is told to: `limit-process URL KEY LIMIT TIMES`. */
import { openSharedRedis } from '../../src/redis/connection.ts';
import { createRedisLimitStore } from '../../src/redis/limiter.ts';

const [url = '', key = '', limit, times] = process.argv.slice(2);
const quiet = { debug() {}, info() {}, warn() {}, error() {} };
const timeoutMs = 5000;
const redis = openSharedRedis({ urls: [url], timeoutMs, log: quiet });
await redis.attempted;
const store = createRedisLimitStore(redis.client, { timeoutMs, monotonicMs: () => performance.now(), isShared: true });

process.once('message', async () => {
  const quota = { limit: Number(limit), periodSeconds: 3600 };
  const answers = await Promise.all(Array.from({ length: Number(times) }, () => store.take(key, quota)));
  process.send?.(answers.filter(({ isAllowed }) => isAllowed).length);
  await redis.close();
  process.disconnect();
});
process.send?.('ready');
