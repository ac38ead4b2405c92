import type { Turn } from './context.ts';
import type { Command } from './types.ts';

type Verb = 'approve' | 'promote' | 'abort' | 'retry' | 'resume';

/** A command that has not been carried out yet. Taking it records its id before anything is done about it. */
export function take(turn: Turn, verb: Verb): Command | undefined {
  const command = peek(turn, verb);
  if (!command) return undefined;
  turn.state.consumed[verb] = command.id;
  return command;
}

export function peek(turn: Turn, verb: Verb): Command | undefined {
  const command = turn.observation.commands[verb];
  return command && turn.state.consumed[verb] !== command.id ? command : undefined;
}

/**
 * Removes the annotations of what was carried out; the id keeps a newer command safe. Once it is gone it is forgotten: who annotates
 * by hand writes the same text again, and means it.
 */
export function consumeDone(turn: Turn) {
  const { consumed } = turn.state;
  for (const verb of ['approve', 'promote', 'abort', 'retry', 'resume'] as const) {
    const command = turn.observation.commands[verb];
    if (!command) delete consumed[verb];
    else if (consumed[verb] === command.id) turn.effects.push({ kind: 'consume', verb, id: command.id });
  }
}

/** Commands that mean nothing in this phase are answered, not left lying for a later run. */
export function refuseOthers(turn: Turn, verbs: readonly Verb[], why: string) {
  for (const verb of verbs) {
    const command = take(turn, verb);
    if (!command) continue;
    turn.effects.push({
      kind: 'event',
      type: 'Warning',
      reason: 'CommandIgnored',
      message: `${verb} by ${command.by} had no effect: ${why}`,
    });
  }
}

/** A person paused or let go on, in whatever phase it is: history says who and when. */
export function recordPause(turn: Turn) {
  const { state, observation } = turn;
  const { paused } = observation.commands;
  const resume = take(turn, 'resume');
  const before = state.paused;
  if (paused?.id === before?.id) return;
  const { name } = state.phase;
  if (before && (resume || !paused)) {
    const message = resume
      ? `resumed by ${resume.by}; it had been paused by ${before.by}`
      : `the pause by ${before.by} was taken away`;
    turn.record(name, name, 'Resumed', message, resume ? { by: resume.by } : {});
  }
  delete state.paused;
  if (!paused) return;
  state.paused = { id: paused.id, by: paused.by };
  turn.record(name, name, 'Paused', `paused by ${paused.by}`, { by: paused.by });
}
