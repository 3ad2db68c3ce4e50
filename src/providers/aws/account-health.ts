// Whether an account works, by what its calls come to: no call is made to find out.
import { type AwsAction, type AwsActions, type AwsApi, permissionOf } from './aws-api.ts';
import { type Failure, failureOf } from './aws-error.ts';

export class AccountHealth {
  /** The last failure of an action that says something of the account. */
  readonly #failures = new Map<AwsAction, Failure>();
  #answered = false;

  /** The same API; `onChange` hears when there is something else to say. */
  watched(api: AwsApi, onChange: () => void): AwsApi {
    return async <A extends AwsAction>(
      action: A,
      input: AwsActions[A][0],
      beforeSending?: () => void,
    ): Promise<AwsActions[A][1]> => {
      try {
        const output = await api(action, input, beforeSending);
        if (this.#worked(action)) onChange();
        return output;
      } catch (error) {
        if (this.#failed(action, error)) onChange();
        throw error;
      }
    };
  }

  /** Undefined: nothing is known yet. */
  verdict(): { readonly works: boolean; readonly reason: string; readonly message: string } | undefined {
    const common = [...this.#failures.values()].find(({ reason }) => reason !== 'PermissionMissing');
    if (common) return { works: false, reason: common.reason, message: common.message };
    const missing = [...this.#failures.keys()].map(permissionOf).sort();
    if (missing.length > 0)
      return {
        works: false,
        reason: 'PermissionMissing',
        message: `the credentials may not ${missing.join(', ')}; allow it in their IAM policy`,
      };
    return this.#answered ? { works: true, reason: 'Works', message: 'AWS answers' } : undefined;
  }

  /** Whether that changed anything. */
  #worked(action: AwsAction): boolean {
    const before = this.verdict();
    this.#answered = true;
    this.#failures.delete(action);
    for (const [other, { reason }] of this.#failures)
      if (reason !== 'PermissionMissing') this.#failures.delete(other);
    return this.verdict()?.message !== before?.message;
  }

  #failed(action: AwsAction, error: unknown): boolean {
    const failure = failureOf(error, action);
    const reasons: readonly string[] = [
      'PermissionMissing',
      'CredentialsInvalid',
      'AWSUnreachable',
      'Throttled',
    ];
    if (!failure || !reasons.includes(failure.reason)) return false;
    const before = this.verdict();
    this.#failures.set(action, failure);
    return this.verdict()?.message !== before?.message;
  }
}
