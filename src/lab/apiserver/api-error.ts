// Errors as the API server answers them: metav1.Status (API conventions, "Response Status Kind").

export interface Cause {
  readonly reason:
    | 'FieldValueInvalid'
    | 'FieldValueRequired'
    | 'FieldValueDuplicate'
    | 'FieldValueForbidden'
    | 'FieldManagerConflict'
    | 'FieldValueNotSupported'
    | 'FieldValueTypeInvalid'
    | 'FieldValueTooMany'
    | 'FieldValueTooLong';
  readonly message: string;
  readonly field: string;
}

export class ApiError extends Error {
  readonly code: number;
  readonly reason: string;
  readonly details: Readonly<Record<string, unknown>>;

  constructor(
    code: number,
    reason: string,
    message: string,
    details: Readonly<Record<string, unknown>> = {},
  ) {
    super(message);
    this.code = code;
    this.reason = reason;
    this.details = details;
  }

  status(): object {
    const { code, reason, message, details } = this;
    return {
      kind: 'Status',
      apiVersion: 'v1',
      metadata: {},
      status: 'Failure',
      message,
      reason,
      ...(Object.keys(details).length > 0 ? { details } : {}),
      code,
    };
  }
}

export const badRequest = (message: string) => new ApiError(400, 'BadRequest', message);

export function notFound(plural: string, group: string, name: string): ApiError {
  const message = `${qualified(plural, group)} "${name}" not found`;
  return new ApiError(404, 'NotFound', message, details(plural, group, name));
}

export function alreadyExists(plural: string, group: string, name: string): ApiError {
  const message = `${qualified(plural, group)} "${name}" already exists`;
  return new ApiError(409, 'AlreadyExists', message, details(plural, group, name));
}

export function forbidden(plural: string, group: string, name: string, why: string): ApiError {
  const message = `${qualified(plural, group)} "${name}" is forbidden: ${why}`;
  return new ApiError(403, 'Forbidden', message, details(plural, group, name));
}

const MODIFIED =
  'the object has been modified; please apply your changes to the latest version and try again';

export function conflict(plural: string, group: string, name: string, why = MODIFIED): ApiError {
  const message = `Operation cannot be fulfilled on ${qualified(plural, group)} "${name}": ${why}`;
  return new ApiError(409, 'Conflict', message, details(plural, group, name));
}

export const expired = (message: string) => new ApiError(410, 'Expired', message);

export function invalid(kind: string, group: string, name: string, causes: readonly Cause[]): ApiError {
  const texts = causes.map(({ field, message }) => `${field}: ${message}`);
  const list = texts.length === 1 ? texts[0] : `[${texts.join(', ')}]`;
  const qualifiedKind = group === '' ? kind : `${kind}.${group}`;
  return new ApiError(422, 'Invalid', `${qualifiedKind} "${name}" is invalid: ${list}`, {
    ...details(kind, group, name),
    causes,
  });
}

function qualified(plural: string, group: string): string {
  return group === '' ? plural : `${plural}.${group}`;
}

function details(kind: string, group: string, name: string): Readonly<Record<string, unknown>> {
  return { name, ...(group === '' ? {} : { group }), kind };
}
