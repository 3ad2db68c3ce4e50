// How a demonstration is shown: progress while it works, a timeline at its end, or one JSON object.

export interface Step {
  /** Stable, for machines. */
  readonly name: string;
  /** For people. */
  readonly what: string;
  readonly observed: Readonly<Record<string, unknown>>;
  /** How long it took; what it counts from is the step's own matter, and `what` says it. */
  readonly milliseconds: number;
}

export interface Report {
  readonly ok: boolean;
  readonly steps: readonly Step[];
  /** Where it ended early: after which step, and what was the matter. */
  readonly failed?: { readonly after: string; readonly problem: string };
  readonly milliseconds: number;
}

export class Reporter {
  readonly steps: Step[] = [];
  readonly #began = performance.now();

  /** To standard error: the timeline, or the object, is the result. */
  progress(what: string): void {
    console.error(`${this.#elapsed()}  … ${what}`);
  }

  step(step: Step): void {
    this.steps.push({ ...step, milliseconds: Math.round(step.milliseconds * 10) / 10 });
    console.error(`${this.#elapsed()}  ✔ ${step.what}`);
  }

  report(failed?: Report['failed']): Report {
    return {
      ok: failed === undefined,
      steps: this.steps,
      ...(failed ? { failed } : {}),
      milliseconds: Math.round(performance.now() - this.#began),
    };
  }

  #elapsed(): string {
    return `${((performance.now() - this.#began) / 1000).toFixed(2).padStart(6)} s`;
  }
}

export function timeline({ steps, failed, milliseconds }: Report): string {
  const lines = steps.map(({ what, milliseconds: took }) => `  ✔ ${duration(took).padStart(8)}  ${what}`);
  if (failed) lines.push(`  ✘ after ${failed.after}: ${failed.problem}`);
  const end = failed
    ? `failed after ${duration(milliseconds)}`
    : `everything was observed on the wire, in ${duration(milliseconds)}`;
  return ['', ...lines, '', `  ${end}`, ''].join('\n');
}

function duration(milliseconds: number): string {
  return milliseconds < 1_000 ? `${milliseconds.toFixed(0)} ms` : `${(milliseconds / 1000).toFixed(2)} s`;
}
