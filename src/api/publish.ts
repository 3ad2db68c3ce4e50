// What is shown in place of an address: the public address in front of it, or a name.
import { fromBigInt, type Ip, parseIp, toBigInt } from '../net/address.ts';
import { contains, formatRange, parseRange, type Range, sizeOf } from '../net/range.ts';
import type { Reader } from './reader.ts';

/** Addresses in these ranges are shown as something else. */
export interface PublishRule {
  readonly ranges: readonly Range[];
  readonly as:
    | { readonly kind: 'text'; readonly text: string }
    /** The first address of the only range as the first one of `range`, and so on. */
    | { readonly kind: 'range'; readonly range: Range };
}

export const PUBLISH_FIELDS = ['addresses', 'as'] as const;

/** What the address is shown as by the first rule for it; undefined: as it is. */
export function publishedAs(address: Ip, rules: readonly PublishRule[]): string | undefined {
  const rule = rules.find(({ ranges }) => ranges.some((range) => contains(range, address)));
  if (!rule) return undefined;
  if (rule.as.kind === 'text') return rule.as.text;
  const { range } = rule.as;
  return fromBigInt(range.family, range.first + toBigInt(address) - (rule.ranges[0]?.first ?? 0n));
}

/** `all`: the pool's ranges, which a rule without addresses of its own is for. */
export function readPublishRules(reader: Reader, value: unknown, all: readonly Range[]): PublishRule[] {
  return reader.list('spec.publish', value, (path, element) => {
    const fields = reader.fields(path, element, PUBLISH_FIELDS);
    const own =
      fields.addresses === undefined ? undefined : range(reader, `${path}.addresses`, fields.addresses);
    const ranges = own ? [own] : all;
    const field = `${path}.as`;
    const text = typeof fields.as === 'string' ? fields.as.trim() : '';
    if (isShowable(text)) return { ranges, as: { kind: 'text', text: canonical(text) } };
    const to = range(reader, field, fields.as);
    if (!to) return undefined;
    if (own && own.family === to.family && sizeOf(own) === sizeOf(to))
      return { ranges, as: { kind: 'range', range: to } };
    const mend = own
      ? `does not fit addresses "${formatRange(own)}"; write as many addresses of the same family, or a single one`
      : 'holds several addresses; say in addresses which ones of the pool are shown as these';
    reader.problem(field, fields.as, mend);
    return undefined;
  });
}

/** An annotation's list; undefined where nothing is written. */
export function readPublished(
  reader: Reader,
  annotation: { readonly name: string; readonly value: string } | undefined,
): readonly string[] | undefined {
  if (!annotation) return undefined;
  const texts = annotation.value
    .split(',')
    .map((text) => text.trim())
    .filter((text) => text !== '');
  for (const text of texts)
    if (!isShowable(text))
      reader.problem(
        `metadata.annotations[${annotation.name}]`,
        text,
        'is neither an address nor a host name; write one such as 203.0.113.7 or www.example.com',
      );
  return texts.length > 0 ? texts.map(canonical) : undefined;
}

function range(reader: Reader, field: string, value: unknown): Range | undefined {
  const parsed = parseRange(typeof value === 'string' ? value.trim() : '');
  if (parsed.kind === 'parsed') return parsed.value;
  reader.problem(field, value, parsed.problem);
  return undefined;
}

function canonical(text: string): string {
  const address = parseIp(text);
  return address.kind === 'parsed' ? address.value : text;
}

/** An address, or a host name as the API server takes it (RFC 1123) whose last label is no number. */
function isShowable(text: string): boolean {
  if (parseIp(text).kind === 'parsed') return true;
  const label = '[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?';
  return text.length <= 253 && new RegExp(`^${label}(\\.${label})*$`).test(text) && !/(^|\.)\d+$/.test(text);
}
