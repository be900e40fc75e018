/** The backend's errors in both generations, as `test/contract/backend.openapi.yaml` describes them. Who answers with which: `backend.ts`. */

/** Generation 1: `{code, message}` as application/json. Generation 2: RFC 9457 as application/problem+json. */
export type ErrorGeneration = 1 | 2;

export interface Problem {
  readonly status: number;
  /** What follows `urn:aerospike:errors:`. Generation 2 only. */
  readonly type: string;
  readonly title: string;
  readonly detail: string;
  /** Generation 1 only. One value is published. */
  readonly code?: 'invalid_token';
  /** Generation 2 only. */
  readonly context?: object;
}

export function toProblemBody(problem: Problem, generation: ErrorGeneration): { contentType: string; body: string } {
  const { status, type, title, detail, code, context } = problem;
  return generation === 1
    ? { contentType: 'application/json', body: JSON.stringify({ code, message: detail }) }
    : {
        contentType: 'application/problem+json',
        // `message` repeats `detail` there, for readers of generation 1.
        body: JSON.stringify({
          type: `urn:aerospike:errors:${type}`,
          title,
          status,
          detail,
          message: detail,
          context,
        }),
      };
}

export function toInvalidInput(field: string, detail: string): Problem {
  const context = { invalid: [{ field: `/${field}`, type: 'urn:aerospike:errors:validation:failed' }] };
  return { status: 400, type: 'validation:failed', title: 'Validation Error', detail, context };
}

/** A missing token has no type of its own; in generation 1 it has no code either (RFC 6750, section 3.1). */
export const TOKEN_MISSING: Problem = {
  status: 401,
  type: 'auth:token-expired',
  title: 'Token Expired',
  detail: 'An access token is required.',
};

export const TOKEN_REFUSED: Problem = {
  ...TOKEN_MISSING,
  detail: 'The access token expired.',
  code: 'invalid_token',
};

/** Called "unauthorized" there, and yet a 403. */
export function toForbidden(detail: string): Problem {
  return { status: 403, type: 'auth:unauthorized', title: 'Unauthorized', detail };
}

export function toNotFound(detail: string, resource: string, id: string): Problem {
  return {
    status: 404,
    type: 'resource:not-found',
    title: 'Resource Not Found',
    detail,
    context: { resource, id },
  };
}

export const TOO_MANY_REQUESTS: Problem = {
  status: 429,
  type: 'ratelimit:exceeded',
  title: 'Rate Limit Exceeded',
  detail: 'Too many requests.',
};

export const INTERNAL_ERROR: Problem = {
  status: 500,
  type: 'system:internal',
  title: 'Internal Server Error',
  detail: 'Something broke.',
};
