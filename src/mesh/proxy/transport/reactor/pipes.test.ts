import { readdirSync } from 'node:fs';
import { expect, test } from '@jest/globals';
import { Pipes } from './pipes.ts';
import { reactorMachine } from './reactor.ts';

const machine = reactorMachine();
const here = 'reason' in machine ? test.skip : test;

/** Descriptors of this process that are pipes of at least the size asked for. */
const open = () => readdirSync('/proc/self/fd').length;

here('pipes are lent up to a limit; what is given back empty is lent again, what is not is closed', () => {
  if ('reason' in machine) return;
  const { loop } = machine;
  const pipes = new Pipes(loop);
  const before = open();
  const lent = [];
  for (let pipe = pipes.borrow(); pipe; pipe = pipes.borrow()) lent.push(pipe);
  expect(lent.length).toBe(64);
  expect(loop.counts.pipes).toBe(64);
  expect(open()).toBe(before + 128);
  expect(new Set(lent.flatMap(({ read, write }) => [read, write])).size).toBe(128);
  for (const pipe of lent) {
    pipe.held = 1;
    pipes.giveBack(pipe);
  }
  expect(loop.counts.pipes).toBe(0);
  expect(open()).toBe(before);
  const [one, two] = [pipes.borrow()!, pipes.borrow()!];
  pipes.giveBack(one);
  expect(pipes.borrow()).toBe(one);
  one.held = 1;
  pipes.giveBack(one);
  two.held = 1;
  pipes.giveBack(two);
  expect([loop.counts.pipes, open()]).toEqual([0, before]);
});
