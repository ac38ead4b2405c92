// Loaded into each proxy of the soak beside its own code (`--import`, with --expose-gc): collects garbage when it is asked
// to, and says what is left.
process.on('message', () => {
  globalThis.gc!();
  process.send!(process.memoryUsage());
});
// Not a reason to stay.
process.channel?.unref();
