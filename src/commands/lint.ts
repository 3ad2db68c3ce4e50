// `fairlead lint`: says what is wrong with objects of ours in files, for use in CI.
import { Command } from 'commander';
import { lint } from '../api/lint.ts';
import { describe } from '../api/problem.ts';
import { readManifests } from './manifests.ts';

export function lintCommand(): Command {
  return new Command('lint')
    .description(
      'checks pools, advertisements, reservations, quotas and cloud accounts in files; exit status 0: good, 1: problems, 2: cannot read',
    )
    .requiredOption('-f, --filename <file...>', 'YAML or JSON files, folders, or - for standard input')
    .action(({ filename }: { readonly filename: readonly string[] }) => {
      const { problems, checked } = lint(readManifests(filename));
      for (const problem of problems) console.log(describe(problem));
      console.log(`${checked} checked, ${problems.length} ${problems.length === 1 ? 'problem' : 'problems'}`);
      process.exitCode = problems.length === 0 ? 0 : 1;
    });
}
