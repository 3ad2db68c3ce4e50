// Our scripts as commands of a connection: Redis keeps their text, and is sent it once.
import type { Client } from './bull.ts';
import { SCRIPTS, type Script } from './scripts.ts';

export function defineScripts(client: Client): void {
  for (const { name, keys, lua } of SCRIPTS) client.defineCommand(name, { numberOfKeys: keys, lua });
}

/** `client`: one whose scripts are defined. */
export function runScript(
  client: Client,
  { name }: Script,
  keys: readonly string[],
  words: readonly (string | number)[],
): Promise<unknown> {
  // defineCommand has put a method of this name there.
  const commands = client as unknown as Record<string, (...words: (string | number)[]) => Promise<unknown>>;
  const command = commands[name];
  if (!command) throw new Error(`no script ${name}`);
  return command.call(client, ...keys, ...words);
}
