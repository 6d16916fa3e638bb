/**
 * Ends every test run with a list of what was skipped and why, and then, as the very last line on stdout, the plain count
 * `N passed, N failed[, N skipped]` that scripts read. The counting is a pure function over what vitest reports.
 */
import type { Reporter, TestModule, Vitest } from "vitest/node";

export interface SkippedTest {
  readonly file: string;
  readonly name: string;
  readonly reason: string;
}

export interface Tally {
  readonly passed: number;
  readonly failed: number;
  readonly skipped: readonly SkippedTest[];
  /** What counts as failed without being a failed test: a file that could not be loaded, a test that never ended. */
  readonly other: readonly string[];
}

/** Counts a finished run. A file that cannot be loaded, a hook or an error outside any test counts as one failure each. */
export function tally(
  testModules: readonly TestModule[],
  unhandledErrors: readonly { message?: string }[],
): Tally {
  let passed = 0;
  let failed = 0;
  const skipped: SkippedTest[] = [];
  const other: string[] = [];
  for (const module of testModules) {
    for (const test of module.children.allTests()) {
      const result = test.result();
      if (result.state === "passed") passed++;
      else if (result.state === "failed") failed++;
      else if (result.state === "skipped") {
        const reason = result.note ?? "no reason given";
        skipped.push({ file: module.relativeModuleId, name: test.fullName, reason });
      } else other.push(`${module.relativeModuleId} > ${test.fullName}: did not finish`);
    }
    if (module.errors().length > 0) other.push(`${module.relativeModuleId}: could not be loaded`);
    for (const suite of module.children.allSuites()) {
      if (suite.errors().length > 0)
        other.push(`${module.relativeModuleId} > ${suite.fullName}: failed in a hook`);
    }
  }
  for (const error of unhandledErrors) other.push(`error outside any test: ${error.message ?? "unknown"}`);
  return { passed, failed: failed + other.length, skipped, other };
}

/** `N passed, N failed`, plus `, N skipped` when there are some. */
export function summaryLine({ passed, failed, skipped }: Tally): string {
  return `${passed} passed, ${failed} failed${skipped.length > 0 ? `, ${skipped.length} skipped` : ""}`;
}

/** Every line of the ending, the summary line last. */
export function endingLines(result: Tally): string[] {
  const lines: string[] = [""];
  if (result.skipped.length > 0) {
    lines.push("Skipped:");
    for (const { file, name, reason } of result.skipped) lines.push(`  ${file} > ${name}: ${reason}`);
  }
  if (result.other.length > 0)
    lines.push("Failed outside tests:", ...result.other.map((line) => `  ${line}`));
  lines.push(summaryLine(result));
  return lines;
}

export default class SummaryReporter implements Reporter {
  #ending: string[] | undefined;

  onInit(vitest: Vitest): void {
    if (vitest.config.watch) return;
    // Other reporters and vitest itself may write until the process ends; only at its exit is a line sure to be the last.
    process.once("exit", () => {
      const lines = this.#ending ?? ["", "The test run did not finish.", "0 passed, 1 failed"];
      process.stdout.write(`${lines.join("\n")}\n`);
    });
  }

  onTestRunEnd(testModules: readonly TestModule[], unhandledErrors: readonly { message?: string }[]): void {
    const result = tally(testModules, unhandledErrors);
    const nothingRan = testModules.length === 0 && unhandledErrors.length === 0;
    this.#ending = nothingRan ? ["", "No test file was found.", "0 passed, 1 failed"] : endingLines(result);
  }
}
