// What an error of AWS means for a Service: a stable reason, a sentence with what to do, and when to try again.

export type FailureReason =
  | 'Throttled'
  | 'PermissionMissing'
  | 'CredentialsInvalid'
  | 'QuotaExceeded'
  | 'DeletionProtected'
  | 'Settling'
  | 'NameTaken'
  | 'RefusedByAWS'
  | 'AWSUnreachable';

export interface Failure {
  readonly reason: FailureReason;
  /** The same for every try: no request ids, no times. */
  readonly message: string;
  /** Milliseconds. */
  readonly retryAfter: number;
}

interface Meaning {
  readonly reason: FailureReason;
  readonly codes: RegExp;
  readonly mend: string;
  readonly retryAfter: number;
  /** Whatever the call: which of several at once meets it first is chance, and not to be told. */
  readonly anyCall?: true;
}

const MEANINGS: readonly Meaning[] = [
  {
    reason: 'Throttled',
    codes:
      /^(Throttl|RequestLimitExceeded|TooManyRequests|RequestThrottled|PriorRequestNotComplete|SlowDown|BandwidthLimit)/,
    mend: 'too many calls in this account; Fairlead goes on by itself, and slower with spec.aws.rateLimits',
    retryAfter: 15_000,
    anyCall: true,
  },
  {
    reason: 'CredentialsInvalid',
    codes:
      /^(ExpiredToken|RequestExpired|InvalidClientTokenId|UnrecognizedClient|AuthFailure|SignatureDoesNotMatch|InvalidSignature|IncompleteSignature|CredentialsProviderError|MissingAuthenticationToken)/,
    mend: 'check the credentials of the CloudAccount',
    retryAfter: 60_000,
    anyCall: true,
  },
  {
    reason: 'PermissionMissing',
    codes: /^(AccessDenied|UnauthorizedOperation|UnauthorizedException)/,
    mend: 'allow it in the IAM policy of the CloudAccount',
    retryAfter: 120_000,
  },
  {
    reason: 'QuotaExceeded',
    codes: /^(TooMany|TargetGroupAssociationLimit)|LimitExceeded/,
    mend: 'raise the quota in AWS, or remove what is not needed',
    retryAfter: 300_000,
  },
  {
    reason: 'DeletionProtected',
    codes: /^DeletionProtected$/,
    mend: 'switch off deletion_protection.enabled in AWS, and it goes',
    retryAfter: 60_000,
  },
  { reason: 'NameTaken', codes: /^Duplicate/, mend: 'choose another name, or remove it', retryAfter: 60_000 },
  {
    // What was just made or deleted is not known everywhere yet.
    reason: 'Settling',
    codes:
      /^(ResourceInUse|DependencyViolation|(Listener|LoadBalancer|TargetGroup|Rule)NotFound|InvalidGroup\.(NotFound|InUse|Duplicate)|InvalidSecurityGroup)/,
    mend: 'AWS has not finished an earlier change; Fairlead tries again',
    retryAfter: 5_000,
  },
  {
    reason: 'RefusedByAWS',
    codes:
      /^(CertificateNotFound|SubnetNotFound|AllocationIdNotFound|Invalid|Validation|Unsupported|IncompatibleProtocols|ALPNPolicyNotFound|SSLPolicyNotFound|OperationNotPermitted|Parameter|MissingParameter)/,
    mend: 'correct what it names',
    retryAfter: 300_000,
  },
];

const UNREACHABLE =
  /^(ECONN|ENOTFOUND|EAI_AGAIN|ETIMEDOUT|EPIPE|EHOSTUNREACH|ENETUNREACH|TimeoutError|NetworkingError|ServiceUnavailable|Internal|Unavailable)/;

/** Undefined: not an error of AWS, but a mistake of ours. */
export function failureOf(error: unknown, action: string): Failure | undefined {
  if (!(error instanceof Error)) return undefined;
  const { name, message, code, $metadata } = error as Error & {
    readonly code?: unknown;
    readonly $metadata?: { readonly httpStatusCode?: number };
  }; // what the SDK and Node add
  const meaning = MEANINGS.find(({ codes }) => codes.test(name));
  const said = clean(message);
  if (meaning) {
    const { reason, mend, retryAfter, anyCall } = meaning;
    return { reason, message: anyCall ? `${reason}: ${mend}` : `${action}: ${said}; ${mend}`, retryAfter };
  }
  const away =
    UNREACHABLE.test(name) || UNREACHABLE.test(String(code)) || ($metadata?.httpStatusCode ?? 0) >= 500;
  if (!away) return undefined;
  return {
    reason: 'AWSUnreachable',
    message: 'AWS does not answer; check the network and spec.aws.endpoint, Fairlead tries again',
    retryAfter: 15_000,
  };
}

/** Without what differs from try to try. */
function clean(message: string): string {
  return message
    .replaceAll(/\s*\(?request ?id:? ?[\w-]+\)?/gi, '')
    .replaceAll(/\s*Encoded authorization failure message: \S+/g, '')
    .replace(/[.;\s]+$/, '');
}
