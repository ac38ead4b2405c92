/** The proxy standing alone: a checked configuration file, read again on SIGHUP. */
import { execFile } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { createSecureContext } from 'node:tls';
import { promisify } from 'node:util';
import { AppError } from '../../lib/errors.ts';
import type { Logger } from '../../lib/log.ts';
import type { ProxyConfig } from './config.ts';
import { DataPlane } from './proxy.ts';
import { createTransport } from './transport/choose.ts';
import type { CredentialSource, Credentials } from './transport/types.ts';

export interface RunningProxy {
  proxy: DataPlane;
  /** Rejects when the proxy cannot start. */
  started: Promise<void>;
  ready(): boolean;
  /** Not ready, but what the application sends goes where it was going: waiting longer would only keep it from starting. */
  passing(): boolean;
  reload(): Promise<void>;
  /** Lets go of the control plane. */
  stop(): Promise<void>;
}

/** Certificates from files, read again by `reload`. */
export class FileCredentials implements CredentialSource {
  readonly #files: NonNullable<ProxyConfig['identity']>;
  readonly #listeners = new Set<() => void>();
  #current: Credentials;

  constructor(files: NonNullable<ProxyConfig['identity']>) {
    this.#files = files;
    this.#current = this.#read();
  }

  #read(): Credentials {
    const read = (field: string, path: string) => {
      try {
        return readFileSync(path, 'utf8');
      } catch (thrown) {
        throw new AppError('Invalid', `identity.${field}: cannot read ${path}: ${(thrown as Error).message}`);
      }
    };
    const { key, certificate, trust } = this.#files;
    return { key: read('key', key), cert: read('certificate', certificate), trust: read('trust', trust) };
  }

  current(): Credentials {
    return this.#current;
  }

  onRotate(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  }

  reload(): void {
    const next = this.#read();
    // Throws while they do not fit each other, as in the middle of a replacement: then those before stay.
    createSecureContext({ key: next.key, cert: next.cert, ca: next.trust });
    this.#current = next;
    for (const listener of this.#listeners) listener();
  }
}

/** `validator`: arguments for node that print the normalised JSON of the file, or fail saying what is wrong. */
export function startStatic(config: ProxyConfig, validator: string[] | undefined, log: Logger): RunningProxy {
  const credentials = config.identity && new FileCredentials(config.identity);
  const transport = createTransport({ credentials, log, wanted: process.env.WEIR_TRANSPORT });
  const proxy = new DataPlane({ config, transport, log });
  let ready = false;
  return {
    proxy,
    started: proxy.start().then(() => {
      ready = true;
      log.info({ ports: proxy.ports }, 'proxying');
    }),
    ready: () => ready,
    passing: () => false,
    reload: async () => {
      if (!validator) return;
      try {
        // A child checks the file, so that this process never loads YAML and schemas.
        const { stdout } = await promisify(execFile)(process.execPath, validator, {
          maxBuffer: 64 * 1_048_576,
        });
        const next = JSON.parse(stdout) as ProxyConfig;
        credentials?.reload();
        proxy.reload(next);
        log.info({ destinations: Object.keys(next.destinations) }, 'configuration read again');
      } catch (thrown) {
        const { stderr, message } = thrown as Error & { stderr?: string };
        log.error({ error: stderr?.trim() || message }, 'configuration not taken over; the one before stays');
      }
    },
    stop: async () => {},
  };
}
