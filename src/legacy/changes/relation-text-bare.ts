/** The text of 1002 loses its prefix `Invalid relation: `. */
import type { Change } from '../era.ts';

export const relationTextBare: Change = {
  date: '2017-03-15',
  source: 'cloud_controller_ng 2592a3ec4f',
  reason: 'Descriptions are contract: terraform-provider-cf 0.9 matched one of them as text.',
  apply: ({ shape, access }) => ({ shape: { ...shape, toInvalidRelation: (text) => text }, access }),
};
