/**
 * How an operator's machinery asks after this process: `/healthz`, `/readyz`, and on Node `/metrics`. On Node they have a
 * listener of their own; on Workers they stand under `/_holdover/` behind ADMIN_TOKEN. Whether it is ready is said by
 * whoever wires it (`services.ts`).
 */
import { createHash, timingSafeEqual } from 'node:crypto';

export interface Readiness {
  /** The first directory and the first keys have been loaded. Never false again after that. */
  readonly isReady: boolean;
  readonly isDraining: boolean;
  /** What each dependency says, for a person: information only. */
  readonly dependencies: Readonly<Record<string, unknown>>;
}

export interface AdminOptions {
  /** Asked for `/readyz` alone, and only for callers who may ask. */
  readonly readiness: () => Readiness | Promise<Readiness>;
  /** Node only. */
  readonly metrics?: () => Promise<{ readonly contentType: string; readonly text: string }>;
  /** What stands before the paths: nothing on Node, `/_holdover` on Workers. */
  readonly pathPrefix?: string;
  /** ADMIN_TOKEN: where it is set, only requests with it are answered. */
  readonly token?: string;
}

/** Answers, or `undefined` where there is nothing for this request: unknown path or method, wrong or missing token. */
export type Admin = (request: Request) => Promise<Response | undefined>;

export function createAdmin({ readiness, metrics, pathPrefix = '', token }: AdminOptions): Admin {
  const isAllowed = token === undefined ? () => true : createBearerCheck(token);
  return async (request) => {
    if (request.method !== 'GET' && request.method !== 'HEAD') return undefined;
    if (!isAllowed(request.headers.get('authorization'))) return undefined;
    switch (new URL(request.url).pathname) {
      case `${pathPrefix}/healthz`:
        return toResponse(200, { status: 'alive' });
      case `${pathPrefix}/readyz`:
        return toReadyResponse(await readiness());
      case `${pathPrefix}/metrics`: {
        if (metrics === undefined) return undefined;
        const { contentType, text } = await metrics();
        return new Response(text, { headers: { 'Content-Type': contentType } });
      }
      default:
        return undefined;
    }
  };
}

/** 503 takes this replica out of rotation: never because a dependency is gone, which all replicas would see at once. */
function toReadyResponse({ isReady, isDraining, dependencies }: Readiness): Response {
  const status = isDraining ? 'draining' : isReady ? 'ready' : 'starting';
  return toResponse(status === 'ready' ? 200 : 503, { status, dependencies });
}

function toResponse(status: number, body: object): Response {
  return new Response(`${JSON.stringify(body)}\n`, {
    status,
    headers: { 'Content-Type': 'application/json', 'Cache-Control': 'no-store' },
  });
}

/** In a time that says nothing about the token: digests have one length, and are compared whole. */
function createBearerCheck(token: string): (authorization: string | null) => boolean {
  const expected = toDigest(token);
  return (authorization) => {
    const [, presented] = /^bearer ([\x21-\x7e]+)$/i.exec(authorization ?? '') ?? [];
    return presented !== undefined && timingSafeEqual(toDigest(presented), expected);
  };
}

function toDigest(text: string): Uint8Array {
  return createHash('sha256').update(text).digest();
}
