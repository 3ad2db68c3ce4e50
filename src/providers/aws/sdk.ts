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
type Commands = Readonly<Record<string, new (input: object) => Command>>;
interface Command {
  readonly middlewareStack: {
    add(
      middleware: (next: (args: object) => Promise<object>) => (args: object) => Promise<object>,
      options: { readonly step: 'finalizeRequest'; readonly name: string; readonly priority: 'low' },
    ): void;
  };
}
interface Client {
  send(command: Command): Promise<object>;
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
    api: async <A extends AwsAction>(
      action: A,
      input: AwsActions[A][0],
      beforeSending?: () => void,
    ): Promise<AwsActions[A][1]> => {
      const which = serviceOf(action) === 'ec2' ? 1 : 0;
      const [client, made] = [clients[which], modules[which]?.[`${action}Command`]];
      if (!client || !made) throw new Error(`the AWS SDK has no ${action}`);
      const command = new made(input);
      // The SDK's retries are a step before this one: it is gone through for each try.
      if (beforeSending)
        command.middlewareStack.add(
          (next) => (args) => {
            beforeSending();
            return next(args);
          },
          { step: 'finalizeRequest', name: 'fairleadBeforeSending', priority: 'low' },
        );
      return (await client.send(command)) as AwsActions[A][1]; // the command of that action answers so
    },
    close: () => {
      for (const client of clients) client.destroy();
    },
  };
}
