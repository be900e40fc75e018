/** What no variable can know by itself: mistakes that take two, and settings that do not do what they seem to. */
import * as v from 'valibot';
import type { ConfigRuntime } from './runtime.ts';
import { DEFAULTS } from './schemas.ts';
import { httpUrl, redisUrls } from './values.ts';
import { CREDENTIAL_PREFIX } from './variables.ts';

/** `texts`: the variables that are set. `needsTokenUrl`: whether a credential has a client_id. */
export function checkTogether(
  texts: ReadonlyMap<string, string>,
  runtime: ConfigRuntime,
  needsTokenUrl: boolean,
): readonly string[] {
  const mistakes: string[] = [];
  if (needsTokenUrl && !texts.has('BACKEND_TOKEN_URL')) {
    mistakes.push(
      `BACKEND_TOKEN_URL: not set, and a credential has a client_id; accepted: ${v.getDescription(httpUrl)}`,
    );
  }
  if (runtime.name === 'node' && texts.get('ORGANIZATIONS') === 'redis' && !texts.has('REDIS_URL')) {
    mistakes.push(
      `REDIS_URL: not set, and ORGANIZATIONS is redis; accepted: ${v.getDescription(redisUrls(runtime.name))}`,
    );
  }
  if (runtime.name === 'node' && isOneListener(texts)) {
    mistakes.push(
      'ADMIN_PORT: found the port of PORT; accepted: another one, or another address in HOST and ADMIN_HOST',
    );
  }
  return mistakes;
}

const EVERY_ADDRESS = ['0.0.0.0', '::'];

function isOneListener(texts: ReadonlyMap<string, string>): boolean {
  const [port, adminPort] = [
    Number(texts.get('PORT') ?? DEFAULTS.PORT),
    Number(texts.get('ADMIN_PORT') ?? DEFAULTS.ADMIN_PORT),
  ];
  const hosts = [texts.get('HOST') ?? DEFAULTS.HOST, texts.get('ADMIN_HOST') ?? DEFAULTS.ADMIN_HOST];
  // Port 0 is any free one.
  return (
    port === adminPort && port !== 0 && (hosts[0] === hosts[1] || hosts.some((host) => EVERY_ADDRESS.includes(host)))
  );
}

/** Nothing here keeps Holdover from starting. */
export function warnOfUseless(
  env: Readonly<Record<string, unknown>>,
  runtime: ConfigRuntime,
  texts: ReadonlyMap<string, string>,
): readonly string[] {
  const warnings: string[] = [];
  const secret = texts.get('LEGACY_TOKEN_SECRET');
  if (secret !== undefined && secret !== secret.trim()) {
    warnings.push('LEGACY_TOKEN_SECRET: begins or ends with white space, which counts as part of it');
  }
  if (runtime.name === 'workers') return warnings;
  if (!texts.has('REDIS_URL')) {
    warnings.push('REDIS_URL: not set; each process counts limits by itself, and forgets them when it ends');
  }
  for (const [name, value] of Object.entries(env)) {
    if (value === undefined || value === '') continue;
    if (name === 'ADMIN_TOKEN') {
      warnings.push('ADMIN_TOKEN: not used on Node; whoever reaches ADMIN_HOST and ADMIN_PORT may ask');
    } else if (name.startsWith(CREDENTIAL_PREFIX)) {
      warnings.push(`${name}: not used on Node; it belongs into BACKEND_CREDENTIALS`);
    }
  }
  return warnings;
}
