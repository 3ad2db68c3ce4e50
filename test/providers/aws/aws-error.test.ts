import { expect, it } from 'vitest';
import { failureOf } from '../../../src/providers/aws/aws-error.ts';

function error(name: string, message = 'it says so', more: object = {}): Error {
  return Object.assign(new Error(message), { name }, more);
}

it.each([
  ['Throttling', 'Throttled'],
  ['ThrottlingException', 'Throttled'],
  ['RequestLimitExceeded', 'Throttled'],
  ['ExpiredToken', 'CredentialsInvalid'],
  ['CredentialsProviderError', 'CredentialsInvalid'],
  ['AccessDenied', 'PermissionMissing'],
  ['UnauthorizedOperation', 'PermissionMissing'],
  ['TooManyLoadBalancersException', 'QuotaExceeded'],
  ['RulesPerSecurityGroupLimitExceeded', 'QuotaExceeded'],
  ['TargetGroupAssociationLimitException', 'QuotaExceeded'],
  ['DuplicateLoadBalancerNameException', 'NameTaken'],
  ['ResourceInUseException', 'Settling'],
  ['DependencyViolation', 'Settling'],
  ['ListenerNotFoundException', 'Settling'],
  ['CertificateNotFoundException', 'RefusedByAWS'],
  ['InvalidConfigurationRequestException', 'RefusedByAWS'],
  ['ValidationError', 'RefusedByAWS'],
])('%s means %s', (name, reason) => {
  expect(failureOf(error(name), 'CreateListener')).toMatchObject({ reason });
});

it('knows an AWS that does not answer by its socket or its status', () => {
  const code = error('Error', 'connect', { code: 'ECONNREFUSED' });
  const status = error('SomethingNew', 'oops', { $metadata: { httpStatusCode: 503 } });
  for (const each of [code, status])
    expect(failureOf(each, 'AddTags')).toMatchObject({ reason: 'AWSUnreachable' });
});

it('says the same for every try', () => {
  const message = (id: string) =>
    failureOf(error('AccessDenied', `no (Request ID: ${id}).`), 'AddTags')?.message;
  expect(message('1-2-3')).toBe('AddTags: no; allow it in the IAM policy of the CloudAccount');
  expect(message('4-5-6')).toBe(message('1-2-3'));
});

it('leaves mistakes of ours alone', () => {
  expect(failureOf(new TypeError('x is not a function'), 'AddTags')).toBeUndefined();
});
