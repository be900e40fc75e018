/**
 * The backend's error bodies in both generations, told apart by shape (backend.md, section 3). A member of the wrong
 * type is as good as absent (RFC 9457, section 3.1). What an error means: `failures.ts`.
 */
import { parseObject, toObject, toText } from './json-body.ts';

export type ErrorBody =
  | { readonly generation: 1 }
  | {
      readonly generation: 2;
      /** `urn:aerospike:errors:…`; the published list is not closed. */
      readonly type: string | undefined;
      /** `context.invalid[].field` */
      readonly invalidFields: readonly string[];
      /** `context.resource` and `context.id`: what a 404 did not find. */
      readonly resource: string | undefined;
      readonly resourceId: string | undefined;
    };

/** `undefined` where the body is of neither shape. */
export function parseErrorBody(body: string): ErrorBody | undefined {
  const error = parseObject(body);
  if (error === undefined) return undefined;
  const type = toText(error['type']);
  const isProblem = typeof error['title'] === 'string' && typeof error['status'] === 'number';
  // Generation 2 first: with its deprecated `message` it would pass for generation 1, too.
  if (type?.startsWith('urn:') || isProblem) {
    const context = toObject(error['context']) ?? {};
    const invalid = Array.isArray(context['invalid']) ? context['invalid'] : [];
    return {
      generation: 2,
      type,
      invalidFields: invalid.map((entry) => toText(toObject(entry)?.['field'])).filter((field) => field !== undefined),
      resource: toText(context['resource']),
      resourceId: toText(context['id']),
    };
  }
  return typeof error['message'] === 'string' ? { generation: 1 } : undefined;
}
