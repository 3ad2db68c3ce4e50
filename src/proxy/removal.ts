// Takes everything of ours out of the kernel: connections under way go on as they were translated, new ones are
// no longer.

import { handoverRemovalText } from './handover.ts';
import { runNft } from './nft-command.ts';
import { removalText, TABLES } from './rules.ts';

/** Harmless where there is nothing. Rejects with nft's words, or with how to install it. */
export async function removeRules(): Promise<void> {
  await runNft(['-f', '-'], TABLES.map(removalText).join('') + handoverRemovalText());
}
