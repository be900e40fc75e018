/** How each fault of Redis comes about: by the line, by Redis itself, or by what is said in its place. */
import type { Redis } from 'ioredis';
import type { FaultProxy, WireFault } from '../../support/fault-proxy.ts';
import type { Fault } from '../failure-modes.ts';
import { REDIS_TIMEOUT_MS } from '../rig.ts';

/** How each fault comes about, but for the start and the failover. Gives what undoes it. */
export async function breakRedis(fault: Fault, proxy: FaultProxy, control: Redis): Promise<() => Promise<unknown>> {
  const byWire = async (wire: WireFault) => {
    await proxy.break(wire);
    return () => proxy.heal();
  };
  switch (fault) {
    case 'refused':
      return byWire({ kind: 'refuse' });
    case 'dies mid-request':
      return byWire({ kind: 'cut', afterBytes: 0 });
    case 'frozen':
      return byWire({ kind: 'freeze' });
    case 'slow':
      return byWire({ kind: 'delay', ms: 3 * REDIS_TIMEOUT_MS });
    case 'resets mid-answer':
      return byWire({ kind: 'cut', afterBytes: 3 });
    case 'garbage':
      return byWire(answerAll('HTTP/1.1 400 Bad Request\r\n\r\n'));
    case 'huge answer':
      await proxy.break(answerAll(`$536870912\r\n${'x'.repeat(1024 * 1024)}`));
      // Whatever comes on that connection now belongs to the huge answer: mending such a server is a restart.
      return async () => {
        await proxy.break({ kind: 'refuse' });
        await proxy.heal();
      };
    case 'wrong shape':
      return byWire(answerAll('+OK\r\n'));
    case 'TLS not trusted':
      return byWire({ kind: 'distrust' });
    case 'LOADING':
      return byWire(answerAll('-LOADING Redis is loading the dataset in memory\r\n'));
    case 'MOVED':
      return byWire(answerAll('-MOVED 866 127.0.0.1:1\r\n'));
    case 'READONLY':
      await control.replicaof('127.0.0.1', 1);
      return () => control.replicaof('NO', 'ONE');
    case 'OOM':
      await control.config('SET', 'maxmemory', 1);
      return () => control.config('SET', 'maxmemory', 0);
    case 'NOSCRIPT':
      await control.script('FLUSH');
      return async () => undefined;
    case 'AUTH failure':
      await control.config('SET', 'requirepass', 'another');
      await control.call('CLIENT', 'KILL', 'TYPE', 'normal', 'SKIPME', 'yes');
      return () => control.config('SET', 'requirepass', '');
    case 'flushed':
      await control.flushall();
      return async () => undefined;
    default:
      throw new Error(`Redis has no ${fault}`);
  }
}

/** Every command of a piece gets this answer. */
function answerAll(answer: string): WireFault {
  return {
    kind: 'reply',
    toBytes: (request) => answer.repeat(request.toString('latin1').match(/\*\d+\r\n\$\d+\r\n/g)?.length ?? 0),
  };
}
