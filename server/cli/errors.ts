/**
 * How a failure leaves the command: one line `pagefold: <code>: <message>` on stderr (with --json one JSON document there), and the
 * exit code: 1 failed, 2 misused (the caller's mistake, code `invalid`), 128 + signal when interrupted.
 */
import { CommanderError } from "commander";
import { isPagefoldError, PagefoldError } from "../../src/base/errors.ts";
import { toJson } from "./json.ts";

export const exitCodes = { done: 0, failed: 1, misused: 2 } as const;

export interface Failure {
  readonly exitCode: number;
  /** The error's code; `internal` for a bug of ours. */
  readonly code: string;
  readonly message: string;
  readonly details: Readonly<Record<string, unknown>>;
  readonly retryable: boolean;
  /** Only for bugs. */
  readonly stack?: string;
}

/** A mistake in the arguments that only shows when they are seen together. */
export function usageError(message: string): PagefoldError {
  return new PagefoldError("invalid", message);
}

/** `signalExitCode`: what to exit with if a signal is why the work stopped. */
export function failureOf(error: unknown, signalExitCode: number | undefined): Failure {
  if (isPagefoldError(error)) {
    const { code, message, details, retryable } = error;
    const interrupted = code === "aborted" ? signalExitCode : undefined;
    const exitCode = interrupted ?? (code === "invalid" ? exitCodes.misused : exitCodes.failed);
    return { exitCode, code, message, details, retryable };
  }
  if (error instanceof CommanderError) {
    const message = `${error.message.replace(/^error: /, "")}`;
    return { exitCode: exitCodes.misused, code: "invalid", message, details: {}, retryable: false };
  }
  if (signalExitCode !== undefined && error instanceof Error && error.name === "AbortError") {
    return {
      exitCode: signalExitCode,
      code: "aborted",
      message: "interrupted",
      details: {},
      retryable: false,
    };
  }
  const message = error instanceof Error ? error.message : String(error);
  const stack = error instanceof Error ? error.stack : undefined;
  const bug = { exitCode: exitCodes.failed, code: "internal", message, details: {}, retryable: false };
  return stack === undefined ? bug : { ...bug, stack };
}

/** The text for stderr, newline included. */
export function failureText(failure: Failure, json: boolean): string {
  const { code, message, details, retryable, stack } = failure;
  if (json) {
    const error = {
      code,
      message,
      retryable,
      details: toJson(details),
      ...(stack === undefined ? {} : { stack }),
    };
    return `${JSON.stringify({ error })}\n`;
  }
  const trailer =
    stack === undefined ? "" : `\nThis is a bug in pagefold; please report it with what follows.\n${stack}`;
  return `pagefold: ${code}: ${message}${trailer}\n`;
}
