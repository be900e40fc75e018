/** What a process still holds after a full collection, asked through Node's inspector: what resident memory alone cannot say. */
import { once } from 'node:events';
import { WebSocket } from 'undici';

/** For NODE_OPTIONS; the process then says its URL on standard error. */
export const INSPECT_OPTION = '--inspect=127.0.0.1:0';

/** The inspector's own words on standard error; the first has its URL. */
export const INSPECTOR_LINE =
  /^(?:Debugger listening on (ws:\S+)|For help, see: .*inspector|Debugger attached|Debugger ending)/;

/** Megabytes of the JavaScript heap that are alive. */
export async function measureLiveHeapMb(inspectorUrl: string): Promise<number> {
  const socket = new WebSocket(inspectorUrl);
  await once(socket, 'open');
  try {
    let id = 0;
    const call = async (method: string, params: object = {}): Promise<{ result?: { value?: unknown } }> => {
      id += 1;
      socket.send(JSON.stringify({ id, method, params }));
      for (;;) {
        const [event] = (await once(socket, 'message')) as [{ data: string }];
        const said = JSON.parse(event.data) as { id?: number; result?: { result?: { value?: unknown } } };
        if (said.id === id) return said.result ?? {};
      }
    };
    await call('HeapProfiler.collectGarbage');
    const { result } = await call('Runtime.evaluate', { expression: 'process.memoryUsage().heapUsed' });
    return Number(result?.value) / 1024 / 1024;
  } finally {
    socket.close();
  }
}
