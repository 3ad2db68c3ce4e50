// The other end of a Child: answers its calls by these functions.

interface Call {
  readonly id: number;
  readonly name: string;
  readonly args: readonly unknown[];
}

/** The arguments are what the test sent: the functions' types are its promise. */
export function answerCalls(functions: Readonly<Record<string, (...args: never[]) => unknown>>): void {
  process.on('message', async (message) => {
    const { id, name, args } = message as Call; // a Child sends nothing else
    try {
      const value = await functions[name]?.(...(args as never[])); // see above
      process.send?.({ id, value });
    } catch (error) {
      process.send?.({ id, error: (error as Error).message });
    }
  });
  process.on('disconnect', () => process.exit());
}
