import { expect, it } from 'vitest';
import { isDenied, tellingDenials } from '../../src/kube/denials.ts';
import { type KubeApi, KubeError } from '../../src/kube/kube-api.ts';
import { EVENTS, SERVICES } from '../../src/kube/resources.ts';
import { type LogLine, logTo } from './following.ts';

const denied = (what: string) =>
  new KubeError(403, 'Forbidden', `PATCH /x: services "web" is forbidden: User "u" cannot ${what}`);
const NO_PATCH = denied('patch resource "services/status" in API group "" in the namespace "default"');
const NO_CREATE = denied('create resource "events" in API group "events.k8s.io" in the namespace "default"');
const TERMINATING = new KubeError(
  403,
  'Forbidden',
  'POST /x: events "e" is forbidden: unable to create new content in namespace shop because it is being terminated',
);

it('tells of each verb and resource once, and again after it was granted', async () => {
  const answers: (KubeError | undefined)[] = [];
  const answer = async () => {
    const error = answers.shift();
    if (error) throw error;
  };
  const lines: LogLine[] = [];
  const api = tellingDenials({ patch: answer, create: answer } as unknown as KubeApi, logTo(lines)); // two of its methods
  const options = { type: 'merge', subresource: 'status', fieldManager: 'test' } as const;
  const patch = () => api.patch(SERVICES, { name: 'web' }, {}, options).catch((error) => error);
  const create = () => api.create(EVENTS, { metadata: { name: 'e' } }).catch((error) => error);

  answers.push(NO_PATCH, NO_PATCH, NO_CREATE, TERMINATING);
  expect(await patch()).toBe(NO_PATCH);
  expect(await patch()).toBe(NO_PATCH);
  expect(await create()).toBe(NO_CREATE);
  expect(await create()).toBe(TERMINATING);
  const said = 'the API server denies a verb that is needed; grant it (deploy/rbac)';
  expect(lines).toMatchObject([
    { level: 50, msg: said, verb: 'patch', resource: 'services/status', error: NO_PATCH.message },
    { level: 50, msg: said, verb: 'create', resource: 'events in events.k8s.io', error: NO_CREATE.message },
  ]);
  answers.push(undefined, NO_PATCH);
  await patch();
  await patch();
  expect(lines.slice(2)).toMatchObject([
    { msg: 'the API server grants this verb now', verb: 'patch', resource: 'services/status' },
    { msg: said, verb: 'patch' },
  ]);
});

it.each([
  [NO_PATCH, true],
  [TERMINATING, false],
  [new KubeError(401, 'Unauthorized', 'cannot patch resource "x"'), false],
  [new Error('cannot patch resource "x"'), false],
])('knows a denial from other refusals: %s', (error, expected) => {
  expect(isDenied(error)).toBe(expected);
});
