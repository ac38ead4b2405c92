import type { Http2Connection } from '../protocol/http2/connection.ts';
import type { Connection, Transport } from '../transport/types.ts';

interface Flushed {
  flush(): void;
}

/** Hands out once a turn what has been written to the connections of a proxy: many frames, one write. */
export class Flusher {
  readonly #transport: Transport;
  #wires: Flushed[] = [];
  #spare: Flushed[] = [];
  readonly #flush = () => {
    const wires = this.#wires;
    this.#wires = this.#spare;
    for (const wire of wires) wire.flush();
    wires.length = 0;
    this.#spare = wires;
  };

  constructor(transport: Transport) {
    this.#transport = transport;
  }

  add(wire: Flushed) {
    this.#wires.push(wire);
    if (this.#wires.length === 1) this.#transport.afterTurn(this.#flush);
  }
}

/** Between the state machine of a connection and its transport: when bytes leave, and what happens when they cannot. */
export class Wire {
  readonly #flusher: Flusher;
  readonly #connection: Connection;
  readonly #limit: number;
  readonly #counts: { written: number };
  readonly #now: () => number;
  http2!: Http2Connection;
  #dirty = false;
  #ending: 'no' | 'half' | 'close' = 'no';

  constructor(options: {
    flusher: Flusher;
    connection: Connection;
    /** Bytes that may pile up. */
    limit: number;
    counts: { written: number };
    now: () => number;
  }) {
    this.#flusher = options.flusher;
    this.#connection = options.connection;
    this.#limit = options.limit;
    this.#counts = options.counts;
    this.#now = options.now;
  }

  /** There is something to send. */
  mark() {
    if (this.#dirty) return;
    this.#dirty = true;
    this.#flusher.add(this);
  }

  flush() {
    this.#dirty = false;
    const { sender } = this.http2;
    const { output } = sender;
    if (sender.blocked && this.#ending === 'no') {
      // A peer that does not read, and makes us say more and more.
      if (output.length > this.#limit) this.#connection.destroy();
      return;
    }
    if (output.length > 0) {
      this.#counts.written += output.length;
      sender.blocked = !this.#connection.writeCopy(output.bytes, output.length);
      output.clear();
    }
    if (this.#ending === 'half') this.#connection.end();
    else if (this.#ending === 'close') this.#connection.finish();
    else if (!sender.blocked && sender.waiting.size > 0) sender.pump(this.#now());
  }

  /** The transport takes more. */
  drained() {
    this.http2.unblock(this.#now());
    this.flush();
  }

  /** Sends what there is and closes our half. */
  end() {
    this.#ending = 'half';
    this.mark();
  }

  /** Sends what there is and closes. */
  finish() {
    this.#ending = 'close';
    this.mark();
  }
}
