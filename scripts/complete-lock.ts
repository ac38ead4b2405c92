// Adds to package-lock.json the optional platform packages that npm leaves out when a registry mirror does not serve
// them. Without these entries `npm ci` refuses the lock file, on every platform. Run after each change of dependencies.
import { readFileSync, writeFileSync } from 'node:fs';

interface LockedPackage {
  dev?: boolean;
  optionalDependencies?: Record<string, string>;
}

const lock = JSON.parse(readFileSync('package-lock.json', 'utf8')) as {
  packages: Record<string, LockedPackage>;
};
for (const [parent, { dev, optionalDependencies }] of Object.entries({ ...lock.packages })) {
  for (const [name, version] of Object.entries(parent === '' ? {} : (optionalDependencies ?? {}))) {
    const path = `node_modules/${name}`;
    const platform =
      /(android|darwin|freebsd|linux|openbsd|netbsd|sunos|win32|openharmony|aix)-([a-z0-9]+)/.exec(name);
    if (!platform || lock.packages[path] || lock.packages[`${parent}/${path}`]) continue;
    lock.packages[path] = {
      version,
      ...(dev ? { dev } : {}),
      optional: true,
      os: [platform[1]],
      cpu: [platform[2]],
      ...(name.endsWith('musl') ? { libc: ['musl'] } : {}),
    } as LockedPackage;
    console.log(`added ${name} ${version}`);
  }
}
lock.packages = Object.fromEntries(Object.entries(lock.packages).sort(([a], [b]) => (a < b ? -1 : 1)));
writeFileSync('package-lock.json', `${JSON.stringify(lock, null, 2)}\n`);
