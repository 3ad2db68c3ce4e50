// The credentials of a cloud account, from the Secret that it names.
import type { CloudAccount } from '../api/cloud-account.ts';
import { type KubeApi, KubeError } from '../kube/kube-api.ts';
import { SECRETS } from '../kube/resources.ts';
import type { Credentials } from '../providers/aws/sdk.ts';

export type CredentialsRead =
  /** `credentials` undefined: the SDK's own chain. */
  | { readonly kind: 'read'; readonly credentials: Credentials | undefined }
  | { readonly kind: 'missing'; readonly message: string };

export async function readCredentials(api: KubeApi, { name, aws }: CloudAccount): Promise<CredentialsRead> {
  const { credentialsSecret: ref } = aws;
  if (!ref) return { kind: 'read', credentials: undefined };
  const at = `Secret/${ref.namespace}/${ref.name}`;
  const missing = (message: string) => ({ kind: 'missing', message: `${at} ${message}` }) as const;
  try {
    const { data = {} } = await api.get(SECRETS, ref);
    const value = (key: string) =>
      Buffer.from(data[key] ?? '', 'base64')
        .toString()
        .trim();
    const [accessKeyId, secretAccessKey] = [value('AWS_ACCESS_KEY_ID'), value('AWS_SECRET_ACCESS_KEY')];
    const sessionToken = value('AWS_SESSION_TOKEN');
    if (accessKeyId === '' || secretAccessKey === '')
      return missing('lacks AWS_ACCESS_KEY_ID or AWS_SECRET_ACCESS_KEY; add them');
    return {
      kind: 'read',
      credentials: { accessKeyId, secretAccessKey, ...(sessionToken === '' ? {} : { sessionToken }) },
    };
  } catch (error) {
    if (!(error instanceof KubeError)) throw error;
    if (error.status === 404)
      return missing(
        `is not there; create it, or correct spec.aws.credentialsSecretRef of CloudAccount/${name}`,
      );
    if (error.status === 403)
      return missing('may not be read; grant get on it, by its name (examples/aws/credentials.yaml)');
    return missing('cannot be read now; Fairlead tries again');
  }
}
