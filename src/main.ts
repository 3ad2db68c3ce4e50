// Picks a command. A mistake in the call ends with exit status 2 and a message that names it.
import { Command, CommanderError } from 'commander';
import { USAGE_STATUS, UsageError } from './commands/usage-error.ts';

/** Each process loads only what it runs: an agent has no use for the controller's modules. */
const COMMANDS: Record<string, () => Promise<Command>> = {
  controller: async () => (await import('./commands/controller.ts')).controllerCommand(),
  agent: async () => (await import('./commands/agent.ts')).agentCommand(),
  lab: async () => (await import('./commands/lab.ts')).labCommand(),
};

const asked = process.argv[2] ?? '';
const names = Object.hasOwn(COMMANDS, asked) ? [asked] : Object.keys(COMMANDS);
const program = new Command('fairlead')
  .description('A load balancer for Kubernetes Services on any network')
  .exitOverride();
for (const name of names) {
  const command = await COMMANDS[name]?.();
  if (command) program.addCommand(command.exitOverride());
}
try {
  await program.parseAsync();
} catch (error) {
  if (error instanceof CommanderError) process.exit(error.exitCode === 0 ? 0 : USAGE_STATUS);
  if (!(error instanceof UsageError)) throw error;
  console.error(`fairlead: ${error.message}`);
  process.exit(USAGE_STATUS);
}
