import type { Case } from './case.ts';
import { REQUESTS } from './requests.ts';
import { RESPONSES } from './responses.ts';

/** What is sent to the proxy and what must come of it. */
export const CASES: readonly Case[] = [...REQUESTS, ...RESPONSES];
