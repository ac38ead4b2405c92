import { kinds } from '../../../src/api/kinds.ts';
import type { KubeObject } from '../../../src/api/meta.ts';
import { eventually, processes } from '../../e2e/support/cluster.ts';
import type { KubernetesCluster } from '../../kubernetes/support/cluster.ts';
import type { Row } from '../row.ts';
import { settle } from './measures.ts';
import { ageSeconds, bucketsOf, cpuSeconds, difference, requestsOf, rssMiB, total } from './process.ts';

const SELECTOR = 'app.kubernetes.io/component=controller';

interface ControllerPod extends KubeObject {
  status: { podIP: string; containerStatuses?: { restartCount: number }[] };
}

/** Weir's controller as the bench looks at it: a process that may be replaced by another one at any moment. */
export class Subject {
  readonly #cluster: KubernetesCluster;
  #restarts = 0;

  private constructor(cluster: KubernetesCluster) {
    this.#cluster = cluster;
  }

  static async of(cluster: KubernetesCluster): Promise<Subject> {
    const subject = new Subject(cluster);
    await subject.replaced();
    return subject;
  }

  async #pod(): Promise<ControllerPod> {
    const { items } = await this.#cluster.client.list<ControllerPod>(kinds.Pod, 'weir', {
      labelSelector: SELECTOR,
    });
    return items[0]!;
  }

  /** What one of them answers: between two processes there is none. */
  async #ask<T>(what: string, question: (pid: number, metrics: string) => T | Promise<T>): Promise<T> {
    let answer: { value: T } | undefined;
    await eventually(
      what,
      async () => {
        const [pid] = processes(this.#cluster.dir, 'main.js controller');
        const metrics = `http://${(await this.#pod()).status.podIP}:9090/metrics`;
        answer = pid === undefined ? undefined : { value: await question(pid, metrics) };
        return answer !== undefined;
      },
      { timeoutMs: 60_000 },
    );
    return answer!.value;
  }

  /** Of the process that is there now; a new one begins at 0. */
  cpuSeconds = (): Promise<number> => this.#ask('the CPU time of the controller', cpuSeconds);

  rssMiB = (): Promise<number> => this.#ask('the memory of the controller', rssMiB);

  requests = (): Promise<Map<string, number>> =>
    this.#ask('the requests of the controller', (_, metrics) => requestsOf(metrics));

  buckets = (name: string): Promise<[number, number][]> =>
    this.#ask(`${name} of the controller`, (_, metrics) => bucketsOf(metrics, name));

  /** Until it has asked for nothing for five seconds. */
  quiet(): Promise<unknown> {
    return eventually(
      'the controller has nothing to do',
      async () => {
        const before = await this.requests();
        await settle();
        return total(difference(before, await this.requests())) === 0;
      },
      { timeoutMs: 300_000 },
    );
  }

  /** Ends it, and its node starts another one. Seconds from that one's start until its caches are complete. */
  async restart(): Promise<number> {
    const { dir } = this.#cluster;
    const find = () => processes(dir, 'main.js controller')[0];
    const old = find()!;
    process.kill(old, 'SIGTERM');
    const seconds = await eventually(
      'the caches of a new controller are complete',
      async () => {
        const pid = find();
        if (pid === undefined || pid === old) return undefined;
        const { ok } = await fetch(`http://${(await this.#pod()).status.podIP}:9090/ready`);
        return ok && ageSeconds(pid);
      },
      { timeoutMs: 300_000, everyMs: 20 },
    );
    await this.replaced();
    return seconds;
  }

  /** How many times since it was asked last. */
  async replaced(): Promise<number> {
    const { containerStatuses = [] } = (await this.#pod()).status;
    const restarts = containerStatuses.reduce((sum, { restartCount }) => sum + restartCount, 0);
    const since = restarts - this.#restarts;
    this.#restarts = restarts;
    return since;
  }

  /** Says so when it was: its lease was lost, and what was counted is that of the last process. */
  async replacedRow(during: string): Promise<Row[]> {
    const times = await this.replaced();
    const name = `the controller's process was replaced during ${during}`;
    return times === 0 ? [] : [{ name, value: times, unit: 'times', bar: '<= 0', ok: false }];
  }
}
