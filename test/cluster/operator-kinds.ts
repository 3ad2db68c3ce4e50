// The Prometheus operator's kinds as far as deploy/ uses them: fields that are not here are refused, not ignored.
// By monitoring.coreos.com/v1 (https://prometheus-operator.dev/docs/api-reference/api/).
import type { KubeObject } from '../../src/kube/objects.ts';

const string = { type: 'string' };
const strings = { type: 'object', additionalProperties: string };

export const OPERATOR_KINDS: readonly KubeObject[] = [
  definition('podmonitors', 'PodMonitor', {
    selector: { type: 'object', properties: { matchLabels: strings } },
    podMetricsEndpoints: {
      type: 'array',
      items: { type: 'object', properties: { port: string, path: string, interval: string } },
    },
  }),
  definition('prometheusrules', 'PrometheusRule', {
    groups: {
      type: 'array',
      items: {
        type: 'object',
        required: ['name'],
        properties: {
          name: string,
          rules: {
            type: 'array',
            items: {
              type: 'object',
              required: ['expr'],
              properties: { alert: string, expr: string, for: string, labels: strings, annotations: strings },
            },
          },
        },
      },
    },
  }),
];

function definition(plural: string, kind: string, spec: object): KubeObject {
  const schema = {
    type: 'object',
    required: ['spec'],
    properties: { spec: { type: 'object', properties: spec } },
  };
  return {
    apiVersion: 'apiextensions.k8s.io/v1',
    kind: 'CustomResourceDefinition',
    metadata: { name: `${plural}.monitoring.coreos.com` },
    spec: {
      group: 'monitoring.coreos.com',
      scope: 'Namespaced',
      names: { plural, kind },
      versions: [{ name: 'v1', served: true, storage: true, schema: { openAPIV3Schema: schema } }],
    },
  } as KubeObject;
}
