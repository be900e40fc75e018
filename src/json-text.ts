/**
 * JSON text that a person wrote (the directory, the credentials). Two things that JSON.parse does not do: it says where
 * the text breaks without quoting it, since it may hold secrets; and it refuses a member that stands twice, which
 * JSON.parse merges in silence: of two mappings of one user, the wrong one might win.
 */

/** What was read, or everything that is wrong with it, one line each. */
export type Parsed<Value> =
  | { readonly ok: true; readonly value: Value }
  | { readonly ok: false; readonly mistakes: readonly string[] };

export function parseJsonText(text: string): Parsed<unknown> {
  const mistakes = findMistakes(text);
  return mistakes.length > 0 ? { ok: false, mistakes } : { ok: true, value: JSON.parse(text) };
}

/** `organizations[3].managers`, `users["a.b"]`. */
export function toJsonPath(keys: readonly (string | number)[]): string {
  let path = '';
  for (const key of keys) {
    if (typeof key === 'number') path += `[${key}]`;
    else if (!/^[A-Za-z_]\w*$/.test(key)) path += `[${JSON.stringify(key)}]`;
    else path += path === '' ? key : `.${key}`;
  }
  return path === '' ? 'the whole' : path;
}

/** RFC 8259: white space, then a mark, a string, or another value. Linear: no repetition can match in two ways. */
const TOKEN =
  /[ \t\n\r]*(?:([{}[\],:])|("[ !#-[\]-\uffff]*(?:\\(?:["\\/bfnrt]|u[\da-fA-F]{4})[ !#-[\]-\uffff]*)*")|-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?|true|false|null)/y;

type State = 'value' | 'first-value' | 'name' | 'first-name' | 'colon' | 'next' | 'end';

/** An object or array that is still open. `key` is where in it the scan stands. */
interface Frame {
  readonly names: Set<string> | undefined;
  key: string | number;
}

/** The first place where the grammar breaks, or else every member that stands twice. */
function findMistakes(text: string): string[] {
  const duplicates: string[] = [];
  const frames: Frame[] = [];
  let state: State = 'value';
  let at = 0;
  const close = () => {
    frames.pop();
    state = frames.length === 0 ? 'end' : 'next';
  };
  for (;;) {
    TOKEN.lastIndex = at;
    const token = TOKEN.exec(text);
    if (token === null) {
      const rest = /[ \t\n\r]*/y;
      rest.lastIndex = at;
      rest.exec(text);
      const isDone = state === 'end' && rest.lastIndex === text.length;
      return isDone ? duplicates : [toSyntaxMistake(text, rest.lastIndex, state)];
    }
    const [whole, mark, string] = token;
    const frame = frames.at(-1);
    const isName = (state === 'name' || state === 'first-name') && string !== undefined;
    const isValue = (state === 'value' || state === 'first-value') && !isOneOf(mark, '}],:');
    if (isName && frame?.names) {
      const name = JSON.parse(string) as string;
      frame.key = name;
      if (frame.names.has(name)) duplicates.push(`${toJsonPath(frames.map(({ key }) => key))}: stands twice`);
      frame.names.add(name);
      state = 'colon';
    } else if (isValue && mark === '{') {
      frames.push({ names: new Set(), key: '' });
      state = 'first-name';
    } else if (isValue && mark === '[') {
      frames.push({ names: undefined, key: 0 });
      state = 'first-value';
    } else if (isValue) {
      state = frame === undefined ? 'end' : 'next';
    } else if (state === 'colon' && mark === ':') {
      state = 'value';
    } else if (state === 'next' && mark === ',' && frame) {
      if (typeof frame.key === 'number') frame.key += 1;
      state = frame.names ? 'name' : 'value';
    } else if ((state === 'next' || state === 'first-name') && mark === '}' && frame?.names) {
      close();
    } else if ((state === 'next' || state === 'first-value') && mark === ']' && frame && !frame.names) {
      close();
    } else {
      return [toSyntaxMistake(text, at + whole.search(/[^ \t\n\r]/), state)];
    }
    at += whole.length;
  }
}

function isOneOf(mark: string | undefined, marks: string): boolean {
  return mark !== undefined && marks.includes(mark);
}

const EXPECTED: Record<State, string> = {
  value: 'a value',
  'first-value': 'a value or "]"',
  name: 'a name in double quotes',
  'first-name': 'a name in double quotes or "}"',
  colon: '":"',
  next: '"," or the closing bracket',
  end: 'the end of the text',
};

function toSyntaxMistake(text: string, at: number, state: State): string {
  const lines = text.slice(0, at).split('\n');
  const place = `line ${lines.length}, column ${(lines.at(-1)?.length ?? 0) + 1}`;
  // One character at most: what stands here may be a secret that lacks its quotes.
  const found = at < text.length ? JSON.stringify(text[at]) : 'the end of the text';
  return `${place}: not valid JSON: found ${found}; accepted: ${EXPECTED[state]}`;
}
