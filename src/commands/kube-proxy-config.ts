// A KubeProxyConfiguration file (kubeproxy.config.k8s.io/v1alpha1) as flags of the agent.
import { readFileSync } from 'node:fs';
import { type Command, InvalidArgumentError } from 'commander';
import { load, YAMLException } from 'js-yaml';
import { UsageError } from './usage-error.ts';

type Field =
  /** Sets this flag; lists are joined with commas. */
  | { readonly kind: 'flag'; readonly flag: string }
  /** An address, to which kube-proxy adds a port where it has none. */
  | { readonly kind: 'bind'; readonly flag: string; readonly port: number }
  | { readonly kind: 'group'; readonly fields: Fields }
  /** Means nothing to us. */
  | { readonly kind: 'nothing' };
type Fields = Readonly<Record<string, Field>>;

const flag = (name: string): Field => ({ kind: 'flag', flag: name });
const NOTHING: Field = { kind: 'nothing' };
const nothing = (...names: readonly string[]): Fields =>
  Object.fromEntries(names.map((name) => [name, NOTHING]));
const group = (fields: Fields): Field => ({ kind: 'group', fields });
const rules: Fields = {
  masqueradeAll: flag('--masquerade-all'),
  masqueradeBit: flag('--iptables-masquerade-bit'),
  ...nothing('syncPeriod', 'minSyncPeriod'),
};

/** All fields of kube-proxy 1.36. */
const FIELDS: Fields = {
  ...nothing('apiVersion', 'kind', 'mode', 'bindAddress', 'bindAddressHardFail', 'enableProfiling'),
  ...nothing('configSyncPeriod', 'featureGates', 'logging', 'oomScoreAdj', 'portRange', 'udpIdleTimeout'),
  ...nothing('showHiddenMetricsForVersion', 'windowsRunAsService', 'winkernel', 'ipvs'),
  hostnameOverride: flag('--node-name'),
  clusterCIDR: flag('--cluster-cidr'),
  detectLocalMode: flag('--detect-local-mode'),
  detectLocal: group({
    bridgeInterface: flag('--pod-bridge-interface'),
    interfaceNamePrefix: flag('--pod-interface-name-prefix'),
  }),
  nodePortAddresses: flag('--nodeport-addresses'),
  healthzBindAddress: { kind: 'bind', flag: '--healthz-bind-address', port: 10_256 },
  metricsBindAddress: { kind: 'bind', flag: '--metrics-bind-address', port: 10_249 },
  clientConnection: group({
    kubeconfig: flag('--kubeconfig'),
    ...nothing('acceptContentTypes', 'contentType', 'qps', 'burst'),
  }),
  nftables: group(rules),
  iptables: group({ ...rules, localhostNodePorts: NOTHING }),
  conntrack: group({
    maxPerCore: flag('--conntrack-max-per-core'),
    min: flag('--conntrack-min'),
    tcpEstablishedTimeout: flag('--conntrack-tcp-timeout-established'),
    tcpCloseWaitTimeout: flag('--conntrack-tcp-timeout-close-wait'),
    tcpBeLiberal: flag('--conntrack-tcp-be-liberal'),
    udpTimeout: flag('--conntrack-udp-timeout'),
    udpStreamTimeout: flag('--conntrack-udp-timeout-stream'),
  }),
};

/** What is said in any file, or means the same with us. */
const EXPECTED = new Set(['apiVersion', 'kind', 'mode nftables', 'bindAddress 0.0.0.0', 'bindAddress ::']);

interface Setting {
  /** Path of the field, for messages. */
  readonly path: string;
  readonly flag: string;
  readonly text: string;
}

export interface KubeProxyConfig {
  readonly settings: readonly Setting[];
  /** Paths of fields that have a value and no effect. */
  readonly ignored: readonly string[];
}

/** Throws UsageError for a file that cannot be read, is none, or has a field that kube-proxy does not have. */
export function readKubeProxyConfig(file: string): KubeProxyConfig {
  const fail = (problem: string): never => {
    throw new UsageError(`--config: "${file}": ${problem}`);
  };
  const content = parse(file, fail);
  const settings: Setting[] = [];
  const ignored: string[] = [];
  const read = (values: object, fields: Fields, prefix: string) => {
    for (const [name, value] of Object.entries(values)) {
      const path = prefix + name;
      const field = Object.hasOwn(fields, name) ? fields[name] : undefined;
      if (!field) return fail(`there is no field ${path}; correct its name or remove it`);
      if (isUnset(value)) continue;
      if (field.kind === 'group') {
        if (!isMap(value)) return fail(`${path} is no map; write its fields below it`);
        read(value, field.fields, `${path}.`);
      } else if (field.kind === 'nothing') {
        if (!EXPECTED.has(name) && !EXPECTED.has(`${name} ${value}`)) ignored.push(path);
      } else {
        if (isMap(value)) return fail(`${path} is a map; write a value`);
        settings.push({ path, flag: field.flag, text: textOf(value, field) });
      }
    }
  };
  if (!isMap(content)) return fail('this is no KubeProxyConfiguration');
  const { apiVersion, kind } = content as { apiVersion?: unknown; kind?: unknown };
  if (kind !== 'KubeProxyConfiguration' || apiVersion !== 'kubeproxy.config.k8s.io/v1alpha1')
    return fail(
      `apiVersion is "${apiVersion}", kind "${kind}"; write kubeproxy.config.k8s.io/v1alpha1, KubeProxyConfiguration`,
    );
  read(content, FIELDS, '');
  return { settings, ignored };
}

/** Sets the flags that the command line leaves open. Throws UsageError for values that a flag refuses. */
export function applyKubeProxyConfig(command: Command, file: string, { settings }: KubeProxyConfig): void {
  for (const { path, flag: name, text } of settings) {
    const option = command.options.find(({ long }) => long === name);
    if (!option) throw new Error(`the agent lacks ${name}`);
    const key = option.attributeName();
    if (command.getOptionValueSource(key) === 'cli') continue;
    try {
      const value = option.parseArg ? option.parseArg(text, undefined as never) : text;
      command.setOptionValueWithSource(key, value, 'config');
    } catch (error) {
      if (!(error instanceof InvalidArgumentError)) throw error;
      throw new UsageError(`--config: "${file}": ${path}: "${text}" is invalid. ${error.message}`);
    }
  }
}

function parse(file: string, fail: (problem: string) => never): unknown {
  try {
    return load(readFileSync(file, 'utf8'));
  } catch (error) {
    if (error instanceof YAMLException) return fail(`this is no YAML: ${error.reason}`);
    return fail(`cannot be read (${(error as NodeJS.ErrnoException).code}); name a file that exists`);
  }
}

function isMap(value: unknown): value is object {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** As Go writes what was not set; "0s" is a value of its own. */
function isUnset(value: unknown): boolean {
  const empty = isMap(value) && Object.keys(value).length === 0;
  return (
    empty || value === null || value === '' || value === false || (Array.isArray(value) && value.length === 0)
  );
}

function textOf(value: unknown, field: Field): string {
  const text = Array.isArray(value) ? value.join(',') : String(value);
  if (field.kind !== 'bind') return text;
  if (/^\[.*\]:\d+$|^[^:]*:\d+$/.test(text)) return text;
  return text.includes(':') ? `[${text.replace(/^\[|\]$/g, '')}]:${field.port}` : `${text}:${field.port}`;
}
