/** What the configuration may know of the runtime it is read on, and how a value that names a file is read. */
export interface ConfigRuntime {
  readonly name: 'node' | 'workers';
  /** The text of a file; throws as `fs.readFileSync` does. Absent on Workers, which have no files. */
  readonly readFile?: (path: string) => string;
}

export type TextSource =
  | { readonly ok: true; readonly text: string; readonly path: string | undefined }
  /** What was found. */
  | { readonly ok: false; readonly mistake: string };

const FILE_PREFIX = 'file:';

/** The value itself, or what `file:PATH` holds. */
export function readText(value: string, runtime: ConfigRuntime): TextSource {
  if (!value.startsWith(FILE_PREFIX)) return { ok: true, text: value, path: undefined };
  const path = value.slice(FILE_PREFIX.length);
  if (runtime.readFile === undefined) return { ok: false, mistake: 'a file: Workers have none' };
  try {
    // Some editors put a byte order mark first; `watched-file.ts` drops it too.
    return { ok: true, text: runtime.readFile(path).replace(/^\uFEFF/, ''), path };
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? ` (${error.code})` : '';
    return { ok: false, mistake: `a file that cannot be read: ${JSON.stringify(path)}${code}` };
  }
}
