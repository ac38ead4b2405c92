/**
 * Whoever read the output may go first, as `head` does: then this process ends as when it is told to, with what has to be cleaned up, and
 * with the exit code of a program that wrote into a closed pipe.
 */
export function endWhenUnread(): void {
  let ended = false;
  const unread = (error: NodeJS.ErrnoException) => {
    if (error.code !== 'EPIPE') throw error;
    if (ended) return;
    ended = true;
    process.exitCode = 141;
    if (process.listenerCount('SIGTERM') > 0) process.emit('SIGTERM', 'SIGTERM');
    else process.exit();
  };
  process.stdout.on('error', unread);
  process.stderr.on('error', unread);
}
