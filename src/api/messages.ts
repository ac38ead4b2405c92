/** What zod says of a manifest, in the words of whoever writes it: what to write instead. */
import { z } from 'zod';

type Issue = Parameters<NonNullable<ReturnType<typeof z.config>['customError']>>[0];

const TYPES: Record<string, string> = {
  string: 'a string',
  number: 'a number',
  int: 'a whole number',
  boolean: 'true or false',
  array: 'a list',
  object: 'an object of fields',
  record: 'an object of fields',
  null: 'null',
};

function typeOf(value: unknown): string {
  if (value === null) return 'null';
  return TYPES[Array.isArray(value) ? 'array' : typeof value] ?? typeof value;
}

function text(issue: Issue): string | undefined {
  switch (issue.code) {
    case 'invalid_type': {
      const wanted = TYPES[issue.expected] ?? issue.expected;
      if (issue.input === undefined) return `is missing: it must be ${wanted}`;
      return `must be ${wanted}, not ${typeOf(issue.input)}`;
    }
    case 'invalid_value': {
      const values = issue.values.map(String).join(', ');
      const wanted = issue.values.length === 1 ? values : `one of ${values}`;
      return issue.input === undefined ? `is missing: it must be ${wanted}` : `must be ${wanted}`;
    }
    case 'too_small':
    case 'too_big': {
      const small = issue.code === 'too_small';
      const limit = small ? issue.minimum : issue.maximum;
      if (issue.origin === 'number' || issue.origin === 'int') {
        const how = issue.inclusive ? (small ? 'at least' : 'at most') : small ? 'more than' : 'less than';
        return `must be ${how} ${limit}`;
      }
      if (small && limit === 1) return 'must not be empty';
      const things = issue.origin === 'string' ? 'characters' : 'entries';
      return `must have at ${small ? 'least' : 'most'} ${limit} ${things}`;
    }
    case 'unrecognized_keys': {
      const { shape } = (issue.inst as z.ZodObject | undefined)?.def ?? {};
      const known = shape ? `: the fields here are ${Object.keys(shape).join(', ')}` : '';
      return `unknown field ${issue.keys.map((key) => `"${key}"`).join(', ')}${known}`;
    }
    default:
      return undefined;
  }
}

z.config({ customError: text });
