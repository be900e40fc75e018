/** The commit point, step by step: nothing is asked of the backend before the intent is written (decisions.md, sections 1 and 8). */
import { expect, it } from 'vitest';
import type { Call } from '../../src/call.ts';
import { succeed } from '../../src/failure.ts';
import { profileOf } from '../../src/legacy/profiles.ts';
import { removeOrgUser } from '../../src/legacy/remove-org-user.ts';
import { runOperation, type Services } from '../../src/pipeline.ts';
import { createRequestRecord } from '../../src/telemetry/request-log.ts';

const ORGANIZATION = {
  guid: 'g',
  name: 'n',
  createdAtSeconds: 0,
  updatedAtSeconds: null,
  billingEnabled: false,
  quotaDefinitionGuid: null,
  status: 'active',
  managers: new Set<string>(),
  backend: { organizationId: 'o', credential: 'c' },
};

function remove(steps: string[], intent: () => Promise<void>) {
  const services: Services = {
    profile: profileOf('2014-12'),
    clientRules: [],
    takeQuota: async () => succeed(undefined),
    authenticate: async () => succeed({ id: 'a', clientId: undefined, scopes: new Set(['cloud_controller.admin']) }),
    directory: { findOrganization: async () => succeed(ORGANIZATION), findBackendUser: async () => succeed('u') },
    audit: {
      async intent() {
        await intent();
        return async () => void steps.push('outcome');
      },
    },
    removeMember: async () => {
      steps.push('backend');
      return { outcome: 'removed', backendStatus: 204, backendRequestId: undefined, tries: 1 };
    },
    origin: undefined,
    waitUntil: () => void steps.push('kept alive'),
  };
  const call: Call = {
    request: new Request('http://h/', { method: 'DELETE' }),
    requestId: 'r',
    uuid: 'r',
    ip: 'unknown',
    rawTarget: '/',
    query: new URLSearchParams(),
    body: undefined,
    record: createRequestRecord(() => 0),
  };
  const parameters = new Map([
    ['organization', 'g'],
    ['user', 'u'],
  ]);
  return runOperation(removeOrgUser, parameters, call, services);
}

it('asks the backend only once the intent is written, and keeps that alive from before', async () => {
  const steps: string[] = [];
  await remove(steps, async () => {
    await new Promise(setImmediate);
    steps.push('intent');
  });
  expect(steps).toEqual(['kept alive', 'intent', 'backend', 'outcome']);
});

it('asks the backend nothing where the intent cannot be written', async () => {
  const steps: string[] = [];
  const refuse = () => Promise.reject(new Error('EPIPE'));
  await expect(remove(steps, refuse)).rejects.toThrow('EPIPE');
  expect(steps).toEqual(['kept alive']);
});
