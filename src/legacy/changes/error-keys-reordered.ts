/** Error bodies begin with `description`. */
import type { Change } from '../era.ts';

const KEYS = ['description', 'error_code', 'code'] as const;

export const errorKeysReordered: Change = {
  date: '2017-02-02',
  source: 'cloud_controller_ng 8e700cc986 and 2be36e9745',
  reason: 'Clients that match error bodies as text see another order of the same keys.',
  apply: ({ shape, access }) => ({ shape: { ...shape, errorKeys: KEYS, unknownErrorKeys: KEYS }, access }),
};
