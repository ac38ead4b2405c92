import { AppError } from '../../../lib/errors.ts';
import type { AccessRecord } from '../access-log/line.ts';

/** Which requests a tap shows. Everything that is given has to match. */
export interface TapFilter {
  method?: string;
  /** Prefix of the path. */
  path?: string;
  authority?: string;
  /** `404` or a class, `5xx`. */
  status?: string;
  direction?: 'inbound' | 'outbound';
  revision?: string;
  /** Prefix of the destination's key: `orders.shop` is every port of it. */
  to?: string;
  /** Records a second; what is beyond is counted. */
  maxRps: number;
}

export const DEFAULT_MAX_RPS = 100;
const HIGHEST_RPS = 1_000;
const KNOWN = ['method', 'path', 'authority', 'status', 'direction', 'revision', 'to', 'maxRps'];

/** From the query of a request; an error names the parameter. */
export function parseFilter(query: URLSearchParams): TapFilter {
  const given = Object.fromEntries(query);
  for (const name of Object.keys(given))
    if (!KNOWN.includes(name)) throw new AppError('Invalid', `${name}: unknown; known: ${KNOWN.join(', ')}`);
  const { method, status, direction, maxRps, ...rest } = given;
  if (status !== undefined && !/^[1-5](?:\d\d|xx)$/.test(status))
    throw new AppError('Invalid', `status: write a status such as 404, or a class such as 5xx`);
  if (direction !== undefined && direction !== 'inbound' && direction !== 'outbound')
    throw new AppError('Invalid', 'direction: write inbound or outbound');
  const rate = maxRps === undefined ? DEFAULT_MAX_RPS : Number(maxRps);
  if (!(rate > 0 && rate <= HIGHEST_RPS))
    throw new AppError('Invalid', `maxRps: more than 0 and at most ${HIGHEST_RPS}`);
  return {
    ...rest,
    ...(method === undefined ? {} : { method: method.toUpperCase() }),
    ...(status === undefined ? {} : { status }),
    ...(direction === undefined ? {} : { direction }),
    maxRps: rate,
  };
}

/** Pure. */
export function matches(filter: TapFilter, record: AccessRecord): boolean {
  const { method, path, authority, status, direction, revision, to } = filter;
  if (method !== undefined && record.method !== method) return false;
  if (path !== undefined && !record.path.startsWith(path)) return false;
  if (authority !== undefined && record.authority !== authority) return false;
  if (direction !== undefined && record.direction !== direction) return false;
  if (revision !== undefined && record.revision !== revision) return false;
  if (to !== undefined && !leads(to, record.destination)) return false;
  if (status === undefined) return true;
  return status.endsWith('xx')
    ? status.charCodeAt(0) - 48 === Math.floor(record.status / 100)
    : Number(status) === record.status;
}

/** Whole parts only: `web` is not `web-admin.shop:80`. */
function leads(to: string, destination: string): boolean {
  if (!destination.startsWith(to)) return false;
  const next = destination[to.length];
  return next === undefined || next === '.' || next === ':';
}
