import { randomUUID } from 'node:crypto';
import { hostname } from 'node:os';

/**
 * Who holds a lease, unique among replicas that may run at once. A pod's containers run one after the other, so one that was
 * killed takes its own lease up again at once.
 */
export const replicaName = (): string => process.env.POD_NAME ?? `${hostname()}_${randomUUID()}`;
