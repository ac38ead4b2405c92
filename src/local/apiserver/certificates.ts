import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

export interface ServingCertificate {
  ca: string;
  cert: string;
  key: string;
}

/** The cluster's CA and serving certificate, made once and kept in `dir`. */
export async function servingCertificate(dir: string, hosts: string[]): Promise<ServingCertificate> {
  const path = (name: string) => join(dir, name);
  const files = ['ca.crt', 'server.crt', 'server.key'].map(path) as [string, string, string];
  const hostFile = path('server.hosts');
  const wanted = hosts.join('\n');
  if ([...files, hostFile].every((file) => existsSync(file)) && readFileSync(hostFile, 'utf8') === wanted) {
    const [ca, cert, key] = files.map((file) => readFileSync(file, 'utf8')) as [string, string, string];
    return { ca, cert, key };
  }
  // Loaded for the first start only: the library takes a tenth of a second.
  const { issueCertificate } = await import('./issue-certificate.ts');
  const result = await issueCertificate(hosts);
  writeFileSync(files[0], result.ca);
  writeFileSync(files[1], result.cert);
  writeFileSync(files[2], result.key, { mode: 0o600 });
  writeFileSync(hostFile, wanted);
  return result;
}
