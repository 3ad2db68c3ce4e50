// The agent's flags for connection tracking, under kube-proxy's names and with its defaults.
import { type Command, InvalidArgumentError } from 'commander';
import type { ConntrackSettings } from '../proxy/conntrack-settings.ts';

export interface ConntrackFlags {
  readonly conntrackMaxPerCore: number;
  readonly conntrackMin: number;
  readonly conntrackTcpTimeoutEstablished: number;
  readonly conntrackTcpTimeoutCloseWait: number;
  readonly conntrackUdpTimeout: number;
  readonly conntrackUdpTimeoutStream: number;
  readonly conntrackTcpBeLiberal: boolean;
}

export function addConntrackFlags(command: Command): Command {
  return command
    .option('--conntrack-max-per-core <count>', 'tracked connections a processor; 0: leave it', count, 32_768)
    .option('--conntrack-min <count>', 'tracked connections at least', count, 131_072)
    .option('--conntrack-tcp-timeout-established <duration>', '0: leave it', duration, 86_400)
    .option('--conntrack-tcp-timeout-close-wait <duration>', '0: leave it', duration, 3_600)
    .option('--conntrack-udp-timeout <duration>', '0: leave it', duration, 0)
    .option('--conntrack-udp-timeout-stream <duration>', '0: leave it', duration, 0)
    .option(
      '--conntrack-tcp-be-liberal [true|false]',
      'track packets outside of a connection’s window',
      boolean,
      false,
    );
}

export function conntrackSettings(flags: ConntrackFlags): ConntrackSettings {
  return {
    maxPerCore: flags.conntrackMaxPerCore,
    min: flags.conntrackMin,
    tcpEstablishedTimeout: flags.conntrackTcpTimeoutEstablished,
    tcpCloseWaitTimeout: flags.conntrackTcpTimeoutCloseWait,
    udpTimeout: flags.conntrackUdpTimeout,
    udpStreamTimeout: flags.conntrackUdpTimeoutStream,
    tcpBeLiberal: flags.conntrackTcpBeLiberal,
  };
}

/** A flag alone means true, as with kube-proxy. */
export function boolean(text: string): boolean {
  if (text !== 'true' && text !== 'false') throw new InvalidArgumentError('Write true or false.');
  return text === 'true';
}

function count(text: string): number {
  if (!/^\d{1,9}$/.test(text)) throw new InvalidArgumentError('Write a whole number, 0 or more.');
  return Number(text);
}

/** Of Go's durations those that the kernel can hold: whole seconds. Returns seconds. */
function duration(text: string): number {
  const [, hours = 0, minutes = 0, seconds = 0] = /^(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s)?$/.exec(text) ?? [];
  const total = Number(hours) * 3_600 + Number(minutes) * 60 + Number(seconds);
  if (text !== '0' && (text === '' || !/^(\d+h)?(\d+m)?(\d+s)?$/.test(text)))
    throw new InvalidArgumentError('Write a duration in whole seconds, such as 24h, 1h30m or 90s.');
  return total;
}
