// What this machine lacks for a command to start: told in one line, without a stack; exit status 1.

export class MachineError extends Error {
  readonly code = 'MACHINE';
}
