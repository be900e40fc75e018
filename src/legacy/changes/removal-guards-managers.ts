/** Users may remove themselves, and callers who are not admins cannot remove the last manager. */
import type { Change } from '../era.ts';

export const removalGuardsManagers: Change = {
  date: '2016-07-12',
  source: 'cf-release v240, CC API 2.59, cloud_controller_ng 680258a00a and d46b76efd6',
  reason: 'Access, not shape: only LEGACY_PROFILE brings it, so that no client can choose its own rights by a header.',
  apply: ({ shape }) => ({ shape, access: { mayRemoveSelf: true, keepsLastManager: true } }),
};
