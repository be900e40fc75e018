/** The one failure of the backend's edge. `reason` is for the log: it holds no secret, and nothing that the backend said. */
import { fail, type Result } from '../failure.ts';

export function unavailable(reason: string): Result<never> {
  return fail({ kind: 'unavailable', dependency: 'backend', reason });
}
