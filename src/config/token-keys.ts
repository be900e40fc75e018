/**
 * LEGACY_TOKEN_SECRET, LEGACY_TOKEN_PUBLIC_KEY or LEGACY_TOKEN_KEYS_URL: exactly one. Which public
 * keys are fit: `keys/public-keys.ts`.
 */
import * as v from 'valibot';
import { parsePublicKeys as parsePems } from '../keys/public-keys.ts';
import { MIN_SECRET_BYTES } from '../keys/secret.ts';
import { toMistake } from './mistake.ts';
import { type ConfigRuntime, readText } from './runtime.ts';
import { httpUrl } from './values.ts';

export type TokenKeys =
  | { readonly kind: 'secret'; readonly secret: Uint8Array }
  | { readonly kind: 'public-keys'; readonly pems: readonly string[] }
  | { readonly kind: 'key-set'; readonly url: string };

export interface TokenKeysParse {
  readonly keys: TokenKeys | undefined;
  readonly mistakes: readonly string[];
}

const NAMES = ['LEGACY_TOKEN_SECRET', 'LEGACY_TOKEN_PUBLIC_KEY', 'LEGACY_TOKEN_KEYS_URL'] as const;

const PEM_FORM =
  'one or more PEM blocks with real line ends or \\n, -----BEGIN PUBLIC KEY----- each; or on Node file:PATH';

/** `texts`: the variables that are set. The keys are there if and only if there is no mistake. */
export function parseTokenKeys(texts: ReadonlyMap<string, string>, runtime: ConfigRuntime): TokenKeysParse {
  const mistakes: string[] = [];
  const set = NAMES.filter((name) => texts.has(name));
  if (set.length !== 1) {
    const found = set.length === 0 ? 'none is set' : `${set.join(' and ')} are set`;
    mistakes.push(`${NAMES.join(', ')}: ${found}; accepted: exactly one of the three`);
  }
  const parsers = [parseSecret, parsePublicKeys, parseKeysUrl];
  const parses = NAMES.map((name, i) => {
    const text = texts.get(name);
    return text === undefined ? undefined : parsers[i]?.(name, text, runtime);
  });
  mistakes.push(...parses.flatMap((parse) => parse?.mistakes ?? []));
  return { keys: mistakes.length === 0 ? parses.find((parse) => parse !== undefined)?.keys : undefined, mistakes };
}

function parseSecret(name: string, text: string): TokenKeysParse {
  const secret = new TextEncoder().encode(text);
  if (secret.byteLength >= MIN_SECRET_BYTES) return { keys: { kind: 'secret', secret }, mistakes: [] };
  return failed(name, `${secret.byteLength} bytes`, `at least ${MIN_SECRET_BYTES} bytes`);
}

function parsePublicKeys(name: string, value: string, runtime: ConfigRuntime): TokenKeysParse {
  const source = readText(value, runtime);
  if (!source.ok) return failed(name, source.mistake, PEM_FORM);
  const text = source.text.replaceAll('\\r', '').replaceAll('\\n', '\n');
  if (/-----BEGIN [A-Z ]*PRIVATE KEY-----/.test(text)) return failed(name, 'a private key', PEM_FORM);
  const pems = text.match(PEM_BLOCK);
  // Anything beside whole blocks may be one that was cut short in a rotation: better said than silently left out.
  if (pems === null || text.replace(PEM_BLOCK, '').trim() !== '') {
    return failed(name, pems === null ? 'no PEM block' : 'text beside whole PEM blocks', PEM_FORM);
  }
  const mistakes = parsePems(pems).mistakes.map((mistake) => `${name}: ${mistake}`);
  return { keys: mistakes.length === 0 ? { kind: 'public-keys', pems } : undefined, mistakes };
}

/** RFC 7468, section 2. No character of a body is a hyphen, so that the match is linear. */
const PEM_BLOCK = /-----BEGIN [A-Z ]+-----[A-Za-z0-9+/=\s]+-----END [A-Z ]+-----/g;

function parseKeysUrl(name: string, text: string): TokenKeysParse {
  const url = v.safeParse(httpUrl, text);
  if (url.success) return { keys: { kind: 'key-set', url: url.output }, mistakes: [] };
  return { keys: undefined, mistakes: url.issues.map((issue) => toMistake(name, text, issue, httpUrl)) };
}

function failed(name: string, found: string, accepted: string): TokenKeysParse {
  return { keys: undefined, mistakes: [`${name}: found ${found}; accepted: ${accepted}`] };
}
