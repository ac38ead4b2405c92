import { colour, coloursEnabled, displayWidth } from './colour.ts';

const EIGHTHS = ['', '▏', '▎', '▍', '▌', '▋', '▊', '▉'];

/** A bar of `width` characters filled to `fraction` (clamped to 0..1), exact to an eighth of a character. */
export function bar(fraction: number, width = 20): string {
  const filled = Math.round(Math.min(1, Math.max(0, Number.isFinite(fraction) ? fraction : 0)) * width * 8);
  const text = '█'.repeat(Math.floor(filled / 8)) + EIGHTHS[filled % 8];
  return text + '░'.repeat(Math.max(0, width - [...text].length));
}

export interface Progress {
  /** Shows what happens now, in place of the line before it. */
  step(message: string): void;
  /** Ends the line with a tick. */
  done(message?: string): void;
  /** Ends the line with a cross. */
  fail(message?: string): void;
}

const FRAMES = ['⠋', '⠙', '⠹', '⠸', '⠼', '⠴', '⠦', '⠧', '⠇', '⠏'];

/**
 * Progress of something that takes over a second: a spinner on a terminal, one plain line per step elsewhere. Call
 * `done` or `fail` at the end; the timer never keeps the process alive.
 */
export function progress(stream: NodeJS.WriteStream = process.stderr): Progress {
  const live = stream.isTTY === true && process.env.TERM !== 'dumb';
  let current = '';
  let frame = 0;
  let timer: NodeJS.Timeout | undefined;

  const draw = () => {
    const spinner = colour(FRAMES[frame % FRAMES.length]!, 'cyan', stream);
    let text = current;
    while (displayWidth(text) > (stream.columns ?? 80) - 3) text = text.slice(0, -1);
    stream.write(`\r\u001b[2K${spinner} ${text}`);
    frame += 1;
  };
  const finish = (mark: string, style: 'green' | 'red', message: string | undefined) => {
    clearInterval(timer);
    timer = undefined;
    const text = message ?? current;
    if (text === '') return;
    const sign = coloursEnabled(stream) ? colour(mark, style, stream) : mark;
    stream.write(`${live ? '\r\u001b[2K' : ''}${sign} ${text}\n`);
    current = '';
  };

  return {
    step(message) {
      if (message === current) return;
      current = message;
      if (!live) {
        stream.write(`${message}\n`);
        return;
      }
      timer ??= setInterval(draw, 80).unref();
      draw();
    },
    done: (message) => finish('✓', 'green', message),
    fail: (message) => finish('✗', 'red', message),
  };
}
