// How the values of AWS annotations are written, as the AWS Load Balancer Controller reads them: Go's booleans,
// lists with commas, maps of key=value. A value that cannot be read is a problem; the fallback goes on.
import { parsePrefix } from '../net/range.ts';
import type { Reader } from './reader.ts';

/** One annotation that is there: the path for problems, and the trimmed value. */
export interface Written {
  readonly field: string;
  readonly value: string;
}

// strconv.ParseBool
const TRUE = ['1', 't', 'T', 'true', 'True', 'TRUE'];
const FALSE = ['0', 'f', 'F', 'false', 'False', 'FALSE'];

export function boolean(reader: Reader, written: Written | undefined): boolean | undefined {
  if (!written) return undefined;
  if (TRUE.includes(written.value)) return true;
  if (FALSE.includes(written.value)) return false;
  reader.problem(written.field, written.value, 'is neither true nor false; write one of them');
  return undefined;
}

/** Comma separated, trimmed, without empty parts. */
export function list(written: Written | undefined): string[] {
  const parts = written?.value.split(',').map((part) => part.trim()) ?? [];
  return parts.filter((part) => part !== '');
}

export function oneOf<T extends string>(
  reader: Reader,
  written: Written | undefined,
  choices: readonly T[],
): T | undefined {
  if (!written) return undefined;
  const choice = choices.find((each) => each === written.value);
  if (!choice) reader.problem(written.field, written.value, `is not known; write ${choices.join(' or ')}`);
  return choice;
}

export function wholeNumber(
  reader: Reader,
  written: Written | undefined,
  { least, most }: { readonly least: number; readonly most: number },
): number | undefined {
  if (!written) return undefined;
  const value = Number(written.value);
  if (/^\d{1,9}$/.test(written.value) && value >= least && value <= most) return value;
  reader.problem(written.field, written.value, `is no whole number from ${least} to ${most}; write one`);
  return undefined;
}

/**
 * `k=v,k=v`. A comma behind a backslash belongs to the value, and so does one that no later `=` follows:
 * `a=1,2,b=3` is {a: "1,2", b: "3"}.
 */
export function map(reader: Reader, written: Written | undefined): Readonly<Record<string, string>> {
  const result: Record<string, string> = {};
  if (!written || written.value === '') return result;
  for (const pair of pairs(written.value)) {
    const equals = pair.indexOf('=');
    const key = pair.slice(0, equals).trim();
    if (equals <= 0 || key === '') {
      reader.problem(written.field, pair, 'is no key=value pair; write key=value, with commas between pairs');
      continue;
    }
    if (Object.hasOwn(result, key)) reader.problem(written.field, key, 'is there twice; keep one of the two');
    result[key] = pair.slice(equals + 1).trim();
  }
  return result;
}

/** Splits at commas that start a new pair, and takes the backslashes off the others. */
function pairs(text: string): string[] {
  const found: string[] = [];
  let pair = '';
  for (const part of text.split(/(?<!\\),/)) {
    if (pair !== '' && !part.includes('=')) pair += `,${part}`;
    else {
      if (pair !== '') found.push(pair);
      pair = part;
    }
  }
  if (pair.trim() !== '') found.push(pair);
  return found.map((each) => each.replaceAll('\\,', ',').trim());
}

/** Prefixes in CIDR notation, as a list. */
export function prefixes(reader: Reader, field: string, texts: readonly string[]): string[] {
  return texts.filter((text) => {
    const prefix = parsePrefix(text);
    if (prefix.kind === 'malformed') reader.problem(field, text, prefix.problem);
    return prefix.kind === 'parsed';
  });
}

/** Each of the list must look like `pattern`, such as `pl-…`. */
export function identifiers(
  reader: Reader,
  written: Written | undefined,
  pattern: RegExp,
  example: string,
): string[] {
  return unique(reader, written).filter((text) => {
    if (pattern.test(text)) return true;
    reader.problem(written?.field ?? '', text, `is no identifier of that kind; write one such as ${example}`);
    return false;
  });
}

/** A list in which nothing may be twice. */
export function unique(reader: Reader, written: Written | undefined): string[] {
  const parts = list(written);
  const twice = parts.filter((part, i) => parts.indexOf(part) !== i);
  for (const part of new Set(twice))
    reader.problem(written?.field ?? '', part, 'is there twice; name it once');
  return [...new Set(parts)];
}
