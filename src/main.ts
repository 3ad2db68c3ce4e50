// Picks a command. A mistake in the call ends with exit status 2 and a message that names it.
import { readFileSync } from 'node:fs';
import { Command, CommanderError } from 'commander';
import { USAGE_STATUS, UsageError } from './commands/usage-error.ts';

interface CommandEntry {
  readonly summary: string;
  readonly load: () => Promise<Command>;
}

/** Each process loads only what it runs: an agent has no use for the controller's modules. */
const COMMANDS: Readonly<Record<string, CommandEntry>> = {
  controller: {
    summary: 'gives Services addresses and writes their status (Deployment)',
    load: async () => (await import('./commands/controller.ts')).controllerCommand(),
  },
  agent: {
    summary: 'announces and forwards on one node (DaemonSet)',
    load: async () => (await import('./commands/agent.ts')).agentCommand(),
  },
  queue: {
    summary: 'what a controller has to do, and lets a parked Service run again',
    load: async () => (await import('./commands/queue.ts')).queueCommand(),
  },
  plan: {
    summary: 'tells which Services would gain, lose or move an address if these pools were applied',
    load: async () => (await import('./commands/plan.ts')).planCommand(),
  },
  lint: {
    summary: 'checks pools, advertisements, reservations and cloud accounts in files',
    load: async () => (await import('./commands/lint.ts')).lintCommand(),
  },
  import: {
    summary: 'writes the configuration of another load balancer (metallb) as ours',
    load: async () => (await import('./commands/import.ts')).importCommand(),
  },
  lab: {
    summary: 'a cluster on this machine: demo and playground',
    load: async () => (await import('./commands/lab.ts')).labCommand(),
  },
};

const { version } = JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8'));
const program = new Command('fairlead')
  .description('A load balancer for Kubernetes Services on any network')
  .version(version);
const words = process.argv.slice(2);
const asked = words[0] === 'help' ? words[1] : words[0];
for (const [name, { summary, load }] of Object.entries(COMMANDS)) {
  if (name === asked) program.addCommand(await load());
  else program.command(name).description(summary);
}
throwMistakes(program);
try {
  await program.parseAsync();
} catch (error) {
  if (error instanceof CommanderError) process.exit(error.exitCode === 0 ? 0 : USAGE_STATUS);
  if (!(error instanceof UsageError)) throw error;
  console.error(`fairlead: ${error.message}`);
  process.exit(USAGE_STATUS);
}

/** Without this, commander ends the process itself, with status 1. */
function throwMistakes(command: Command): void {
  command.exitOverride();
  for (const inner of command.commands) throwMistakes(inner);
}
