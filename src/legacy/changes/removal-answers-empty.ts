/** A removal answers 204 without a body instead of 201 with the organization. */
import type { Change } from '../era.ts';

export const removalAnswersEmpty: Change = {
  date: '2015-11-02',
  source: 'cf-release v223, CC API 2.42.0, cloud_controller_ng 26c14aa20b merged by edf61f926b (PR #453)',
  reason: 'cf-java-client 2 and later, npm cf-client and go-cfclient of early 2017 take a 201 for a failed removal.',
  apply: ({ shape, access }) => ({ shape: { ...shape, removalAnswers: 'empty' }, access }),
};
