/**
 * LEGACY_TOKEN_PUBLIC_KEY: public keys in PEM, SPKI or PKCS#1 or inside an X.509 certificate, several for a rotation.
 * Of a certificate only the key is used: its dates and its issuer are not looked at.
 */
import { createPublicKey } from 'node:crypto';
import type { KeyRing } from '../policy/authenticate.ts';
import { type FitKey, toFitKey } from './public-jwk.ts';
import { createFixedKeyRing, createVerificationKey } from './verification-key.ts';

export interface PublicKeys {
  /** The keys that are fit, to be tried in the order given. */
  readonly ring: KeyRing<unknown>;
  /** One line for each key that is not; a configuration with any is refused. Nothing of a key's material is in it. */
  readonly mistakes: readonly string[];
}

/** Each text holds one PEM or more. Synchronous, so that a configuration can be checked as a whole at start. */
export function parsePublicKeys(texts: readonly string[]): PublicKeys {
  const blocks = texts.flatMap(toPemBlocks);
  const mistakes: string[] = blocks.length === 0 ? ['no PEM block (-----BEGIN PUBLIC KEY-----) is in it'] : [];
  const keys = [];
  for (const [index, block] of blocks.entries()) {
    const key = parsePem(block);
    if (key.isFit) keys.push(createVerificationKey(key.jwk, key.algorithms));
    else mistakes.push(`key ${index + 1} is ${key.mistake}`);
  }
  return { ring: createFixedKeyRing(keys), mistakes };
}

/** Every block from its BEGIN on, even one that never ends: it must not be dropped in silence. */
function toPemBlocks(text: string): string[] {
  return text.split(/(?=-----BEGIN )/).filter((part) => part.startsWith('-----BEGIN '));
}

const PUBLIC_LABEL = /^-----BEGIN (?:PUBLIC KEY|RSA PUBLIC KEY|CERTIFICATE)-----/;

/** `pem` is one block. */
export function parsePem(pem: string): FitKey {
  if (pem.startsWith('-----BEGIN') && !PUBLIC_LABEL.test(pem)) {
    return { isFit: false, mistake: 'neither a public key nor a certificate: private keys do not belong here' };
  }
  try {
    return toFitKey(createPublicKey(pem).export({ format: 'jwk' }));
  } catch {
    return { isFit: false, mistake: 'unreadable: no PEM of an RSA or EC key' };
  }
}
