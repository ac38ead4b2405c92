/** A `metav1.Status` failure, as the real API server words it. */
export interface StatusCause {
  reason?: string;
  message?: string;
  field?: string;
}

export interface StatusDetails {
  name?: string;
  group?: string;
  kind?: string;
  uid?: string;
  causes?: StatusCause[];
  retryAfterSeconds?: number;
}

export interface Resource {
  group: string;
  resource: string;
}

export class StatusError extends Error {
  readonly code: number;
  readonly reason: string;
  readonly details: StatusDetails | undefined;

  constructor(code: number, reason: string, message: string, details?: StatusDetails) {
    super(message);
    this.name = 'StatusError';
    this.code = code;
    this.reason = reason;
    this.details = details;
  }

  toJSON(): object {
    return {
      kind: 'Status',
      apiVersion: 'v1',
      metadata: {},
      status: 'Failure',
      message: this.message,
      reason: this.reason,
      ...(this.details ? { details: this.details } : {}),
      code: this.code,
    };
  }
}

const qualified = ({ group, resource }: Resource): string => (group ? `${resource}.${group}` : resource);
const detailsOf = ({ group, resource }: Resource, name?: string): StatusDetails => ({
  ...(name ? { name } : {}),
  ...(group ? { group } : {}),
  kind: resource,
});

export const notFound = (on: Resource, name: string): StatusError =>
  new StatusError(404, 'NotFound', `${qualified(on)} "${name}" not found`, detailsOf(on, name));

export const noSuchPath = (): StatusError =>
  new StatusError(404, 'NotFound', 'the server could not find the requested resource', {});

export const alreadyExists = (on: Resource, name: string): StatusError =>
  new StatusError(409, 'AlreadyExists', `${qualified(on)} "${name}" already exists`, detailsOf(on, name));

export const conflict = (on: Resource, name: string, why: string): StatusError =>
  new StatusError(
    409,
    'Conflict',
    `Operation cannot be fulfilled on ${qualified(on)} "${name}": ${why}`,
    detailsOf(on, name),
  );

export const MODIFIED =
  'the object has been modified; please apply your changes to the latest version and try again';

export const badRequest = (message: string): StatusError => new StatusError(400, 'BadRequest', message);

export const forbidden = (on: Resource, name: string, why: string): StatusError =>
  new StatusError(
    403,
    'Forbidden',
    `${qualified(on)}${name ? ` "${name}"` : ''} is forbidden: ${why}`,
    detailsOf(on, name),
  );

export const unauthorized = (): StatusError => new StatusError(401, 'Unauthorized', 'Unauthorized');

export const expired = (message: string): StatusError => new StatusError(410, 'Expired', message);

export const methodNotAllowed = (): StatusError =>
  new StatusError(
    405,
    'MethodNotAllowed',
    'the server does not allow this method on the requested resource',
    {},
  );

/** One violated rule of an object; the paths are those that a person would write in the manifest. */
export interface Violation {
  field: string;
  reason:
    | 'FieldValueRequired'
    | 'FieldValueInvalid'
    | 'FieldValueNotSupported'
    | 'FieldValueDuplicate'
    | 'FieldValueForbidden'
    | 'FieldValueTypeInvalid';
  message: string;
}

export const required = (field: string, note = ''): Violation => ({
  field,
  reason: 'FieldValueRequired',
  message: `Required value${note ? `: ${note}` : ''}`,
});

export const invalidValue = (field: string, value: unknown, note: string): Violation => ({
  field,
  reason: 'FieldValueInvalid',
  message: `Invalid value: ${JSON.stringify(value)}: ${note}`,
});

export function invalid(group: string, kind: string, name: string, violations: Violation[]): StatusError {
  const lines = violations.map(({ field, message }) => `${field}: ${message}`);
  const what = group ? `${kind}.${group}` : kind;
  return new StatusError(
    422,
    'Invalid',
    `${what} "${name}" is invalid: ${lines.length === 1 ? lines[0] : `[${lines.join(', ')}]`}`,
    { name, ...(group ? { group } : {}), kind, causes: violations },
  );
}
