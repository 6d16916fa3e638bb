/** Ctrl-C and SIGTERM: the first asks the work to stop where everything is consistent, the second ends the process at once. */
import { constants } from "node:os";

export interface Interruption {
  readonly signal: AbortSignal;
  /** 128 + signal number once a signal has come. */
  exitCode(): number | undefined;
  /** Gives the signals back to the system. */
  dispose(): void;
}

const watched = ["SIGINT", "SIGTERM"] as const;

export function watchSignals(say: (line: string) => void): Interruption {
  const controller = new AbortController();
  let exitCode: number | undefined;
  const onSignal = (name: (typeof watched)[number]): void => {
    if (exitCode !== undefined) {
      dispose();
      process.kill(process.pid, name);
      return;
    }
    exitCode = 128 + constants.signals[name];
    say("stopping; once more to stop at once");
    controller.abort(new DOMException(`interrupted by ${name}`, "AbortError"));
  };
  const dispose = (): void => {
    for (const name of watched) process.off(name, onSignal);
  };
  for (const name of watched) process.on(name, onSignal);
  return { signal: controller.signal, exitCode: () => exitCode, dispose };
}
