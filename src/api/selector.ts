// metav1.LabelSelector, validated: a list of requirements that must all hold. No requirement selects everything.

export interface Requirement {
  readonly key: string;
  readonly operator: 'In' | 'NotIn' | 'Exists' | 'DoesNotExist';
  readonly values: readonly string[];
}

export type Selector = readonly Requirement[];

/** As Kubernetes does: `NotIn` and `DoesNotExist` hold where the label is absent. */
export function matches(selector: Selector, labels: Readonly<Record<string, string>>): boolean {
  return selector.every(({ key, operator, values }) => {
    const value = labels[key];
    switch (operator) {
      case 'In':
        return value !== undefined && values.includes(value);
      case 'NotIn':
        return value === undefined || !values.includes(value);
      case 'Exists':
        return value !== undefined;
      case 'DoesNotExist':
        return value === undefined;
    }
  });
}

/** Namespaces by name or label; where both lists are empty, all of them. */
export interface NamespaceRule {
  readonly namespaces: readonly string[];
  readonly namespaceSelectors: readonly Selector[];
}

export function selectsNamespace(
  { namespaces, namespaceSelectors }: NamespaceRule,
  namespace: string,
  labels: Readonly<Record<string, string>>,
): boolean {
  return (
    (namespaces.length === 0 && namespaceSelectors.length === 0) ||
    namespaces.includes(namespace) ||
    namespaceSelectors.some((selector) => matches(selector, labels))
  );
}
