const LAST_RESORT_MS = 8000;

/**
 * Ends this process when the one that supervises it is gone: the pipe on stdin closes with it, however it ended. SIGTERM
 * to itself takes the same orderly way out as when it is asked to stop.
 */
export function followSupervisor(): void {
  let gone = false;
  const leave = () => {
    if (gone) return;
    gone = true;
    setTimeout(() => process.exit(1), LAST_RESORT_MS).unref();
    process.kill(process.pid, 'SIGTERM');
  };
  // Asked to stop already: a second signal would cut the orderly way short.
  process.on('SIGTERM', () => {
    gone = true;
    // Listening took away the default; where nobody else handles the signal, it is this one's turn.
    if (process.listenerCount('SIGTERM') === 1) process.exit(143);
  });
  process.stdin.on('end', leave).on('close', leave).on('error', leave).resume();
  // Watching must not keep a process alive that has nothing else to do.
  if ('unref' in process.stdin && typeof process.stdin.unref === 'function') process.stdin.unref();
}
