// Times as metav1.Time writes them: RFC 3339 in UTC, whole seconds.

export function timestamp(date: Date): string {
  return date.toISOString().replace(/\.\d+Z$/, 'Z');
}
