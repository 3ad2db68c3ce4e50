// AwsApi by the AWS SDK, which is loaded when the first account is opened: EC2's client alone costs half a second
// and 80 MB.
import type { AwsAccount } from '../../api/cloud-account.ts';
import { type AwsAction, type AwsActions, type AwsApi, serviceOf } from './aws-api.ts';

export interface Credentials {
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
  readonly sessionToken?: string;
}

export interface AwsConnection {
  readonly api: AwsApi;
  close(): void;
}

/** The clients and commands of a module of the SDK, by name. */
type Commands = Readonly<Record<string, new (input: object) => object>>;
interface Client {
  send(command: object): Promise<object>;
  destroy(): void;
}

/** `credentials` undefined: the SDK's own chain. */
export async function connectAws(
  { region, endpoint }: Pick<AwsAccount, 'region' | 'endpoint'>,
  credentials: Credentials | undefined,
): Promise<AwsConnection> {
  const [elb, ec2] = await Promise.all([
    import('@aws-sdk/client-elastic-load-balancing-v2'),
    import('@aws-sdk/client-ec2'),
  ]);
  // A call that is lost is tried twice more by the SDK; whatever still fails comes again with the Service's key.
  const config = {
    region,
    ...(endpoint ? { endpoint } : {}),
    ...(credentials ? { credentials } : {}),
    maxAttempts: 3,
  };
  const clients: readonly Client[] = [
    new elb.ElasticLoadBalancingV2Client(config) as unknown as Client, // its `send` has an overload for each command
    new ec2.EC2Client(config) as unknown as Client,
  ];
  const modules: readonly Commands[] = [elb as unknown as Commands, ec2 as unknown as Commands];
  return {
    api: async <A extends AwsAction>(action: A, input: AwsActions[A][0]): Promise<AwsActions[A][1]> => {
      const which = serviceOf(action) === 'ec2' ? 1 : 0;
      const [client, command] = [clients[which], modules[which]?.[`${action}Command`]];
      if (!client || !command) throw new Error(`the AWS SDK has no ${action}`);
      return (await client.send(new command(input))) as AwsActions[A][1]; // the command of that action answers so
    },
    close: () => {
      for (const client of clients) client.destroy();
    },
  };
}
