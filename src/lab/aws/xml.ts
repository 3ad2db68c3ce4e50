// The query protocol's answers: XML, with `member` around the elements of lists, or `item` in EC2.

export type Answer =
  | string
  | number
  | boolean
  | undefined
  | readonly Answer[]
  | { readonly [key: string]: Answer };

export function toXml(name: string, answer: Answer, element: 'member' | 'item'): string {
  if (answer === undefined) return '';
  return `<${name}>${content(answer, element)}</${name}>`;
}

function content(answer: Exclude<Answer, undefined>, element: 'member' | 'item'): string {
  if (Array.isArray(answer)) return answer.map((each) => toXml(element, each, element)).join('');
  if (typeof answer === 'object')
    return Object.entries(answer)
      .map(([key, value]) => toXml(key, value, element))
      .join('');
  return escaped(String(answer));
}

function escaped(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;');
}
