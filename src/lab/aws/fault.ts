// An error as AWS answers it.

export class Fault extends Error {
  readonly code: string;
  readonly status: number;

  constructor(code: string, message: string, status = 400) {
    super(message);
    this.code = code;
    this.status = status;
  }
}

export function refuse(code: string, message: string): never {
  throw new Fault(code, message);
}
