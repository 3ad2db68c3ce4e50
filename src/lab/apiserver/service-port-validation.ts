// What makes a Service's ports invalid, in kube-apiserver's words (core/validation: validateServicePort).
import type { Cause } from './api-error.ts';
import {
  fieldDuplicate,
  fieldForbidden,
  fieldInvalid,
  fieldNotSupported,
  fieldRequired,
} from './field-causes.ts';
import { isHeadless, mayHaveNodePorts, type ServicePort, type ServiceSpec } from './service-spec.ts';

const PROTOCOLS = ['SCTP', 'TCP', 'UDP'];
const DNS_LABEL = /^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$/;
/** IANA service name: at most 15 characters, one of them a letter. */
const PORT_NAME = /^(?=.{1,15}$)(?=.*[a-z])[a-z0-9]([a-z0-9]|-(?!-))*[a-z0-9]$|^[a-z]$/;
const PORT_RANGE = 'must be between 1 and 65535, inclusive';

export function portCauses(spec: ServiceSpec): Cause[] {
  const { ports = [] } = spec;
  if (ports.length === 0) {
    return isHeadless(spec) || spec.type === 'ExternalName' ? [] : [fieldRequired('spec.ports')];
  }
  const causes = ports.flatMap((port, i) => singleCauses(port, `spec.ports[${i}]`, spec, ports.length > 1));
  const names = new Set<string>();
  const numbers = new Set<string>();
  const nodePorts = new Set<string>();
  const once = (seen: Set<string>, key: string, field: string, value: unknown) => {
    if (seen.has(key)) causes.push(fieldDuplicate(field, value));
    seen.add(key);
  };
  for (const [i, { name, port, protocol, nodePort }] of ports.entries()) {
    const at = `spec.ports[${i}]`;
    if (name !== undefined) once(names, name, `${at}.name`, name);
    // As Go prints the struct that the server has for a key.
    const key = { Name: '', Protocol: protocol, AppProtocol: null, Port: port, TargetPort: 0, NodePort: 0 };
    once(numbers, `${protocol}/${port}`, at, key);
    if (nodePort !== undefined) once(nodePorts, `${protocol}/${nodePort}`, `${at}.nodePort`, nodePort);
  }
  return causes;
}

function singleCauses(
  { name, port, protocol = '', nodePort, targetPort }: ServicePort,
  at: string,
  spec: ServiceSpec,
  several: boolean,
): Cause[] {
  const causes: Cause[] = [];
  if (name === undefined && several) causes.push(fieldRequired(`${at}.name`));
  if (name !== undefined && !DNS_LABEL.test(name)) {
    const why =
      "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')";
    causes.push(fieldInvalid(`${at}.name`, name, why));
  }
  if (!isPort(port)) causes.push(fieldInvalid(`${at}.port`, port ?? 0, PORT_RANGE));
  if (!PROTOCOLS.includes(protocol)) causes.push(fieldNotSupported(`${at}.protocol`, protocol, PROTOCOLS));
  if (typeof targetPort === 'string' && !PORT_NAME.test(targetPort))
    causes.push(
      fieldInvalid(
        `${at}.targetPort`,
        targetPort,
        'must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-), at most 15 of them and at least one letter',
      ),
    );
  if (typeof targetPort === 'number' && !isPort(targetPort))
    causes.push(fieldInvalid(`${at}.targetPort`, targetPort, PORT_RANGE));
  if (nodePort !== undefined && !mayHaveNodePorts(spec))
    causes.push(fieldForbidden(`${at}.nodePort`, `may not be used when \`type\` is '${spec.type}'`));
  return causes;
}

function isPort(value: unknown): boolean {
  return typeof value === 'number' && Number.isInteger(value) && value >= 1 && value <= 65_535;
}
