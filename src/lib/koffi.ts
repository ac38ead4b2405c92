/** Calls into the C library and into Node's own OpenSSL go through koffi; where it cannot be loaded, the reason is said. */
import { createRequire } from 'node:module';

/** The module as its own types describe it. */
export type Koffi = typeof import('koffi');

let loaded: Koffi | { reason: string } | undefined;

/** The module, or why it is not there: another platform than Linux, or no binary for this processor. Loads once. */
export function loadKoffi(): Koffi | { reason: string } {
  loaded ??= load();
  return loaded;
}

function load(): Koffi | { reason: string } {
  if (process.platform !== 'linux')
    return { reason: `system calls are made on Linux only, not on ${process.platform}` };
  try {
    // Not imported: a proxy that does not need it must neither pay for it nor fail without it.
    return createRequire(import.meta.url)('koffi') as Koffi;
  } catch (thrown) {
    return { reason: `koffi cannot be loaded: ${(thrown as Error).message.split('\n')[0]}` };
  }
}
