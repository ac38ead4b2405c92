import { spawn } from 'node:child_process';
import http from 'node:http';
import https from 'node:https';
import net from 'node:net';
import { systemClock } from '../../lib/clock.ts';
import type { Container, Probe } from './types.ts';

export interface ProbeTarget {
  podIP: string;
  ports: Container['ports'];
  /** For exec probes: how a command runs inside the container. */
  exec: { env: Record<string, string>; cwd: string };
}

const FAST_MS = 25;
const SLOWEST_MS = 100;

function portOf(port: number | string, ports: Container['ports']): number {
  return typeof port === 'number'
    ? port
    : (ports?.find(({ name }) => name === port)?.containerPort ?? Number(port));
}

/** One attempt. Never throws: whatever goes wrong is a failure. */
export function attempt(probe: Probe, target: ProbeTarget, signal: AbortSignal): Promise<boolean> {
  const timeout = (probe.timeoutSeconds ?? 1) * 1000;
  if (probe.httpGet) return httpAttempt(probe.httpGet, target, timeout, signal);
  if (probe.tcpSocket) {
    const { port, host = target.podIP } = probe.tcpSocket;
    return tcpAttempt(host, portOf(port, target.ports), timeout);
  }
  if (probe.exec) return execAttempt(probe.exec.command, target, timeout);
  return Promise.resolve(true);
}

function httpAttempt(
  { path = '/', port, host, scheme = 'HTTP', httpHeaders = [] }: NonNullable<Probe['httpGet']>,
  { podIP, ports }: ProbeTarget,
  timeout: number,
  signal: AbortSignal,
): Promise<boolean> {
  return new Promise((resolve) => {
    const options = {
      host: host ?? podIP,
      port: portOf(port, ports),
      path,
      agent: false as const,
      headers: Object.fromEntries([
        ['User-Agent', 'weir-local-probe'],
        ...httpHeaders.map(({ name, value }) => [name, value]),
      ]),
      signal: AbortSignal.any([signal, AbortSignal.timeout(timeout)]),
    };
    const onResponse = (response: http.IncomingMessage) => {
      response.resume();
      const { statusCode = 0 } = response;
      resolve(statusCode >= 200 && statusCode < 400);
    };
    // As the kubelet: certificates are not verified.
    const request =
      scheme === 'HTTPS'
        ? https.get({ ...options, rejectUnauthorized: false }, onResponse)
        : http.get(options, onResponse);
    request.on('error', () => resolve(false));
  });
}

function tcpAttempt(host: string, port: number, timeout: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = net.connect({ host, port, timeout });
    const end = (success: boolean) => {
      socket.destroy();
      resolve(success);
    };
    socket.once('connect', () => end(true));
    socket.once('error', () => end(false));
    socket.once('timeout', () => end(false));
  });
}

function execAttempt(command: string[], { exec }: ProbeTarget, timeout: number): Promise<boolean> {
  return new Promise((resolve) => {
    const child = spawn(command[0]!, command.slice(1), {
      ...exec,
      stdio: 'ignore',
      timeout,
      killSignal: 'SIGKILL',
    });
    child.once('error', () => resolve(false));
    child.once('exit', (code) => resolve(code === 0));
  });
}

export interface ProbeSchedule {
  /** Reports each change of the verdict; the first success is reported too. */
  onResult(success: boolean): void;
  /** Until the first success, look more often than the period says, so that a start is noticed within milliseconds. */
  eager: boolean;
}

/** Probes until aborted. A failure counts once per period, also while it looks more often. */
export async function runProbe(
  probe: Probe,
  target: ProbeTarget,
  { onResult, eager }: ProbeSchedule,
  signal: AbortSignal,
): Promise<void> {
  const period = Math.max(1, probe.periodSeconds ?? 10) * 1000;
  const successThreshold = probe.successThreshold ?? 1;
  const failureThreshold = probe.failureThreshold ?? 3;
  let verdict: boolean | undefined;
  let successes = 0;
  let failures = 0;
  let wait = FAST_MS;
  let succeeded = false;
  try {
    await systemClock.sleep((probe.initialDelaySeconds ?? 0) * 1000, signal);
    let countedAt = Number.NEGATIVE_INFINITY;
    while (!signal.aborted) {
      const success = await attempt(probe, target, signal);
      if (signal.aborted) return;
      const now = performance.now();
      if (success) {
        successes += 1;
        failures = 0;
      } else {
        successes = 0;
        if (now - countedAt >= period * 0.9) {
          failures += 1;
          countedAt = now;
        }
      }
      const next = successes >= successThreshold ? true : failures >= failureThreshold ? false : verdict;
      if (next !== undefined && next !== verdict) {
        verdict = next;
        onResult(next);
      }
      succeeded ||= verdict === true;
      const fast = eager && !succeeded;
      await systemClock.sleep(fast ? Math.min(wait, period) : period, signal);
      wait = Math.min(wait * 1.5, SLOWEST_MS);
    }
  } catch {
    // Aborted.
  }
}
