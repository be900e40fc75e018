/** One line for one wrong variable: its name, what was found, what is accepted. Never a secret, nor a URL's userinfo or query. */
import * as v from 'valibot';
import type { ValueSchema } from './values.ts';
import { findVariable } from './variables.ts';

/** As much of a wrong value as helps to recognise it. */
const SHOWN_LENGTH = 60;

export function toMistake(
  name: string,
  text: string | undefined,
  issue: v.BaseIssue<unknown>,
  schema: ValueSchema<unknown>,
): string {
  const found = text === undefined ? 'not set' : `found ${toShown(name, text, issue)}`;
  return `${name}: ${found}; accepted: ${v.getDescription(schema)}`;
}

function toShown(name: string, text: string, issue: v.BaseIssue<unknown>): string {
  switch (findVariable(name)?.shows) {
    case 'value': {
      const at = v.getDotPath(issue);
      return at === null ? quote(text) : `${quote(JSON.stringify(issue.input))} at ${at}`;
    }
    case 'url':
      return toShownUrl(text);
    default:
      return `a value of ${text.length} characters`;
  }
}

function quote(text: string | undefined): string {
  const json = JSON.stringify(text ?? null);
  return json.length <= SHOWN_LENGTH ? json : `${json.slice(0, SHOWN_LENGTH)}…`;
}

/** Scheme and host only; and nothing at all of what may be no URL: `user:password@host` parses as one. */
function toShownUrl(text: string): string {
  if (text.includes(',')) return 'several URLs';
  if (!URL.canParse(text)) return 'text that is not a URL';
  const { protocol, host, username, password, pathname } = new URL(text);
  if (!/^(?:https?|rediss?):$/.test(protocol) || host === '') return 'a URL of another scheme, or without a host';
  const extras = [
    ...(username !== '' || password !== '' ? ['userinfo'] : []),
    ...(text.includes('?') ? ['a query'] : []),
    ...(text.includes('#') ? ['a fragment'] : []),
    ...(pathname !== '' && pathname !== '/' ? ['a path'] : []),
  ];
  const shown = quote(`${protocol}//${host}`);
  return extras.length === 0 ? shown : `${shown} with ${extras.join(' and ')}`;
}
