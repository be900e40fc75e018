/**
 * Where the credentials for the backend come from: BACKEND_CREDENTIALS, and on Workers one BACKEND_CREDENTIAL_<NAME> each.
 * Their JSON: `backend/credential-list.ts`.
 */
import {
  CREDENTIAL_LIST_FORM,
  type Credential,
  type CredentialList,
  parseCredential,
  parseCredentialList,
} from '../backend/credential-list.ts';
import { type ConfigRuntime, readText } from './runtime.ts';
import { CREDENTIAL_PREFIX } from './variables.ts';

export type CredentialSource =
  | { readonly kind: 'list'; readonly list: CredentialList }
  /** A file to be read, and read again when it changes. Its present content has no mistake. */
  | { readonly kind: 'file'; readonly path: string };

export interface CredentialsParse {
  readonly credentials: CredentialSource | undefined;
  /** Whether any credential is exchanged for tokens, which needs BACKEND_TOKEN_URL. */
  readonly needsTokenUrl: boolean;
  readonly mistakes: readonly string[];
}

const NAME = 'BACKEND_CREDENTIALS';

/** `texts`: the variables that are set. The credentials are there if and only if there is no mistake. */
export function parseCredentials(texts: ReadonlyMap<string, string>, runtime: ConfigRuntime): CredentialsParse {
  const value = texts.get(NAME);
  const separate = runtime.name === 'workers' ? parseSeparate(texts) : NONE;
  const mistakes = [...separate.mistakes];
  if (value === undefined && separate.list.size === 0 && mistakes.length === 0) {
    const alternative = runtime.name === 'workers' ? `, or one ${CREDENTIAL_PREFIX}<NAME> each` : ', or file:PATH';
    mistakes.push(`${NAME}: not set; accepted: ${CREDENTIAL_LIST_FORM}${alternative}`);
  }
  const main = value === undefined ? { ...NONE, path: undefined } : parseMain(value, runtime);
  mistakes.push(...main.mistakes);
  for (const name of main.list.keys()) {
    if (!separate.list.has(toSecretName(name))) continue;
    mistakes.push(
      `${CREDENTIAL_PREFIX}${toSecretName(name)}: found in ${NAME} too, as ${JSON.stringify(name)}; accepted: in one place`,
    );
  }
  const needsTokenUrl = [...main.list.values(), ...separate.list.values()].some(({ kind }) => kind === 'client');
  if (mistakes.length > 0) return { credentials: undefined, needsTokenUrl, mistakes };
  const credentials: CredentialSource =
    main.path === undefined
      ? { kind: 'list', list: separate.list.size === 0 ? main.list : new MergedList(main.list, separate.list) }
      : { kind: 'file', path: main.path };
  return { credentials, needsTokenUrl, mistakes };
}

interface ListParse {
  readonly list: CredentialList;
  readonly mistakes: readonly string[];
}

const NONE: ListParse = { list: new Map(), mistakes: [] };

function parseMain(value: string, runtime: ConfigRuntime): ListParse & { readonly path: string | undefined } {
  const source = readText(value, runtime);
  if (!source.ok) {
    const accepted = `${CREDENTIAL_LIST_FORM}${runtime.name === 'node' ? ', or file:PATH' : ''}`;
    return { ...NONE, path: undefined, mistakes: [`${NAME}: found ${source.mistake}; accepted: ${accepted}`] };
  }
  const { path } = source;
  const parsed = parseCredentialList(source.text);
  if (parsed.ok) return { list: parsed.value, mistakes: [], path };
  const place = path === undefined ? NAME : `${NAME}: in ${JSON.stringify(path)}`;
  return { ...NONE, path, mistakes: parsed.mistakes.map((mistake) => `${place}: ${mistake}`) };
}

function parseSeparate(texts: ReadonlyMap<string, string>): ListParse {
  const list = new Map<string, Credential>();
  const mistakes: string[] = [];
  for (const [variable, text] of texts) {
    if (!variable.startsWith(CREDENTIAL_PREFIX)) continue;
    const name = toSecretName(variable.slice(CREDENTIAL_PREFIX.length));
    const parse = parseCredential(text);
    if (!parse.ok) mistakes.push(...parse.mistakes.map((mistake) => `${variable}: ${mistake}`));
    else if (list.has(name)) mistakes.push(`${variable}: found twice, in another case; accepted: one for each name`);
    else list.set(name, parse.value);
  }
  return { list, mistakes };
}

/** How a credential's name reads in the name of a variable: `acme-eu` is `ACME_EU`. */
function toSecretName(name: string): string {
  return name.toUpperCase().replace(/[^A-Z0-9]/g, '_');
}

/** A name is looked up as it stands first, then as the name of a secret. */
class MergedList extends Map<string, Credential> {
  readonly #separate: CredentialList;

  constructor(main: CredentialList, separate: CredentialList) {
    super([...separate, ...main]);
    this.#separate = separate;
  }

  override get(name: string): Credential | undefined {
    return super.get(name) ?? this.#separate.get(toSecretName(name));
  }

  override has(name: string): boolean {
    return this.get(name) !== undefined;
  }
}
