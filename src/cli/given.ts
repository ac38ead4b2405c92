/** What a process is given before it starts: files and flags. What is wrong with them is told to a person, not logged. */
import { readFileSync } from 'node:fs';
import { AppError, toAppError } from '../lib/errors.ts';

/** Something given cannot be used: exit code 2, and the message alone, which names the flag, file or field and what to do. */
export class WrongInput extends AppError {
  constructor(cause: unknown, message = toAppError(cause).message) {
    super('Invalid', message, { cause });
  }
}

/** What `read` answers; what it throws, as WrongInput. */
export async function given<T>(read: () => T | Promise<T>): Promise<T> {
  try {
    return await read();
  } catch (thrown) {
    throw new WrongInput(thrown);
  }
}

const REASONS: Record<string, string> = {
  ENOENT: 'there is no such file',
  EACCES: 'this user may not read it',
  EISDIR: 'it is a folder',
};

/** The text of a file (or of what is open under a number) that a person has named, by `flag` if by one. */
export function readGiven(file: string | number, flag?: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch (thrown) {
    const { code = '', message } = thrown as NodeJS.ErrnoException;
    const where = flag === undefined ? '' : `${flag}: `;
    throw new WrongInput(thrown, `${where}cannot read ${file}: ${REASONS[code] ?? message}`);
  }
}
