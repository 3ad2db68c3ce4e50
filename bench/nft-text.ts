// The `nft` command, and what it printed as commands for it.
import { spawnSync } from 'node:child_process';
import { TABLES } from '../src/proxy/rules.ts';

/** Elements a transaction: as many as a socket in a user namespace takes. */
export const AT_ONCE = 3_000;

/** What `nft list table` printed as commands. */
export function elementsAsCommands(table: string): string[] {
  const commands: string[] = [];
  for (const [, set, text = ''] of table.matchAll(/(?:map|set) ([\w-]+) \{[^}]*?elements = \{([^}]*)\}/g)) {
    const elements = text.split(',');
    for (let i = 0; i < elements.length; i += AT_ONCE)
      commands.push(`add element inet ${TABLES[0]} ${set} { ${elements.slice(i, i + AT_ONCE).join(',')} }\n`);
  }
  return commands;
}

export function nft(args: readonly string[], input = ''): string {
  const { status, stdout, stderr } = spawnSync('nft', args, { input, encoding: 'utf8', maxBuffer: 1 << 30 });
  if (status !== 0) throw new Error(`nft ${args.join(' ')} failed: ${stderr}`);
  return stdout;
}
