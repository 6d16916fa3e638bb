/** What a test opens is closed when it ends, the last thing first, whatever became of the test. */
type Close = () => Promise<unknown> | unknown;

const closers: Close[] = [];

export function closeLater(close: Close): void {
  closers.push(close);
}

/** For `afterEach`. */
export function closeAll(): Promise<void> {
  return run(closers.splice(0));
}

/** What was opened so far stays open until the answer is called: for `beforeAll`. */
export function takeClosers(): () => Promise<void> {
  const taken = closers.splice(0);
  return () => run(taken);
}

/** The first failure is thrown once everything was tried. */
async function run(all: Close[]): Promise<void> {
  const failures: unknown[] = [];
  for (const close of all.reverse()) {
    try {
      await close();
    } catch (error) {
      failures.push(error);
    }
  }
  if (failures.length > 0) throw failures[0];
}
