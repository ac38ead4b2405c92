/** In one line what a YAML or JSON parser found wrong, without the excerpt that the former draws below it. */
export function yamlProblem(thrown: unknown): string {
  return (thrown as Error).message.split('\n', 1)[0]!.replace(/:$/, '');
}
