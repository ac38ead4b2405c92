export default async function teardown(): Promise<void> {
  await globalThis.weirE2E?.stop();
}
