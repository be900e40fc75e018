/** Timestamps end in `Z` instead of `+00:00`. */
import { type Change, toIsoSeconds } from '../era.ts';

export const timestampsInZulu: Change = {
  date: '2015-01-21',
  source: 'cf-release v197, cloud_controller_ng f8229a158b (Sequel.default_timezone = :utc)',
  reason: 'Clients that compare timestamps as text see another string for the same second.',
  apply: ({ shape, access }) => ({
    shape: { ...shape, toTimestamp: (epochSeconds) => `${toIsoSeconds(epochSeconds)}Z` },
    access,
  }),
};
