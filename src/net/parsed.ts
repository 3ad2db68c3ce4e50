// What a strict parser answers: the value, or what is wrong with the text. Never an exception.

export type Parsed<T> =
  | { readonly kind: 'parsed'; readonly value: T }
  | { readonly kind: 'malformed'; readonly problem: string };

export function parsed<T>(value: T): Parsed<T> {
  return { kind: 'parsed', value };
}

/** `problem` completes the sentence "<text> …" and names the mend where there is one. */
export function malformed(problem: string): { readonly kind: 'malformed'; readonly problem: string } {
  return { kind: 'malformed', problem };
}
