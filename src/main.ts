const argv = process.argv.slice(2);
if (argv.length === 1 && argv[0] === 'proxy' && process.env.POD_IP) {
  // A sidecar is in the way of its pod's start: it loads nothing of the command line.
  const { handOver } = await import('./cli/proxy/hand-over.ts');
  handOver([]);
} else {
  const [{ main }, { endWhenUnread }] = await Promise.all([
    import('./cli/program.ts'),
    import('./cli/unread.ts'),
  ]);
  endWhenUnread();
  await main(argv);
}
