import type { TcpSeries } from './metrics/series.ts';
import type { Runtime } from './runtime.ts';
import type { Deadline } from './timers.ts';
import type { Connection, ConnectionHandler } from './transport/types.ts';

type Counts = Pick<TcpSeries, 'read' | 'written' | 'closed'>;

/** Two connections joined: bytes both ways with back-pressure, half-close kept, an idle deadline for both. */
export class Tunnel {
  readonly #runtime: Runtime;
  readonly #deadline: Deadline;
  readonly #done: () => void;
  #ended = 0;
  #open = 2;

  constructor(
    runtime: Runtime,
    client: Connection,
    server: Connection,
    series: { client: Counts; server: Counts },
    done: () => void = () => {},
  ) {
    this.#runtime = runtime;
    this.#done = done;
    this.#deadline = runtime.wheel.deadline(() => {
      // Neither side has ended: what it takes for an end would be one of its own peer.
      client.breakOff();
      server.breakOff();
    });
    client.handler = this.#side(client, server, series.client, series.server);
    server.handler = this.#side(server, client, series.server, series.client);
    this.#touch();
    client.passOn?.(server, Number.POSITIVE_INFINITY);
    server.passOn?.(client, Number.POSITIVE_INFINITY);
    client.resume();
    server.resume();
  }

  #touch(): void {
    this.#runtime.wheel.arm(this.#deadline, this.#runtime.limits.tcpIdle);
  }

  #side(from: Connection, to: Connection, read: Counts, written: Counts): ConnectionHandler {
    const moved = (count: number, more: boolean) => {
      this.#touch();
      read.read += count;
      written.written += count;
      if (!more) from.pause();
    };
    return {
      data: (chunk) => moved(chunk.length, to.write(chunk)),
      moved,
      drain: () => to.resume(),
      end: () => {
        this.#ended += 1;
        if (this.#ended === 1) return to.end();
        to.finish();
        from.finish();
      },
      close: (error) => {
        read.closed += 1;
        this.#open -= 1;
        if (error) to.breakOff();
        else to.finish();
        if (this.#open > 0) return;
        this.#runtime.wheel.drop(this.#deadline);
        this.#done();
      },
    };
  }
}
