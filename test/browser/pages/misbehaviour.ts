/** Functions and cases that go wrong in every way that page code can, for the test of the harness itself. */
import { PagefoldError } from "../../../src/base/errors.ts";
import type { TestApi } from "../../contracts/object-store.ts";
import type { PageCaseContext } from "./cases.ts";
import { check } from "./checks.ts";

export async function echo(value: unknown): Promise<unknown> {
  return value;
}

export async function fail({ message }: { message: string }): Promise<void> {
  console.log(`about to fail with ${message}`);
  throw new PagefoldError("conflict", message, {
    details: { lsn: 7 },
    cause: new Error("an older snapshot", { cause: new TypeError("the first cause") }),
  });
}

export async function hang(): Promise<void> {
  console.warn("hanging now");
  await new Promise(() => {});
}

export async function leaveRejection(): Promise<string> {
  void Promise.reject(new Error("nobody waits for this"));
  return "went well";
}

export async function spin(): Promise<void> {
  for (;;);
}

/** Cases that count what was done in this page or worker, to show that they share it. */
let casesRun = 0;

export function suite({ describe, it }: TestApi): void {
  describe("cases", () => {
    it("run in order", async () => {
      casesRun++;
      check(casesRun === 1, `${casesRun} cases have run`);
    });
    it("share one page", async () => {
      casesRun++;
      check(casesRun === 2, `${casesRun} cases have run`);
    });
    it("can be skipped", async (context) => {
      (context as PageCaseContext).skip("said so in the page");
    });
  });
}
