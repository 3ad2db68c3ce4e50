// String formats that a schema can ask for (apiextensions.k8s.io/v1: supported formats). Unknown ones hold always.
import { parseIp } from '../../net/address.ts';
import { parsePrefix } from '../../net/range.ts';

const DATE_TIME = /^\d{4}-\d{2}-\d{2}[Tt]\d{2}:\d{2}:\d{2}(\.\d+)?([Zz]|[+-]\d{2}:\d{2})$/;
const DATE = /^\d{4}-\d{2}-\d{2}$/;
const MAC = /^([0-9A-Fa-f]{2}[:-]){5}[0-9A-Fa-f]{2}$/;
const UUID = /^[0-9a-f]{8}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{12}$/i;
const DURATION = /^(\d+(\.\d+)?(ns|us|µs|ms|s|m|h|d|w))+$/;
const BASE64 = /^([A-Za-z0-9+/]{4})*([A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/;

const FORMATS: Readonly<Record<string, (text: string) => boolean>> = {
  'date-time': (text) => DATE_TIME.test(text) && !Number.isNaN(Date.parse(text)),
  date: (text) => DATE.test(text) && !Number.isNaN(Date.parse(text)),
  ipv4: (text) => parseIp(text).kind === 'parsed' && !text.includes(':'),
  ipv6: (text) => parseIp(text).kind === 'parsed' && text.includes(':'),
  cidr: (text) => text.includes('/') && parsePrefix(text).kind === 'parsed',
  mac: (text) => MAC.test(text),
  uuid: (text) => UUID.test(text),
  duration: (text) => DURATION.test(text),
  byte: (text) => BASE64.test(text),
  uri: (text) => URL.canParse(text),
};

export function hasFormat(format: string, text: string): boolean {
  return FORMATS[format]?.(text) ?? true;
}
