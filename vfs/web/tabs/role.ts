/**
 * The part that a tab plays for a storage at a time: it leads, it follows, or it is on its own. Roles change under a database; what a role is used
 * through stays the same.
 */
import { PagefoldError } from "../../../src/base/errors.ts";
import type { SessionClient, SessionEvent } from "../../session/protocol.ts";
import type { Cost } from "./messages.ts";

export interface Role {
  readonly kind: "leader" | "follower" | "single";
  /** Calls fail with `RoleLost` where this side's session ended under them. */
  readonly client: SessionClient;
  listen(names: readonly SessionEvent["name"][]): void;
  cost(): Cost;
  /** Resolves when this role is over without having been closed. */
  readonly lost: Promise<void>;
  /** In order: others go on from what was done here. */
  close(): Promise<void>;
}

/** A call that was not answered, since the session that was to run it has ended. */
export class RoleLost extends Error {
  override readonly name = "RoleLost";
  /** Whether it may have been run. */
  readonly sent: boolean;

  constructor(sent: boolean) {
    super("the tab that runs SQL has changed");
    this.sent = sent;
  }
}

/** What a call fails with that may have been run. */
export function unknownOutcome(what: string): PagefoldError {
  return new PagefoldError(
    "unavailable",
    `the tab that ran SQL for this one ended before it had answered (${what}), so whether this was done is not known; look before you do it again`,
    { details: { outcome: "unknown" }, retryable: false },
  );
}

/** What an open transaction or iteration fails with when its session has ended. */
export function cutOff(what: "transaction" | "iteration"): PagefoldError {
  return what === "transaction"
    ? new PagefoldError(
        "unavailable",
        "the tab that ran this transaction ended in the middle of it, so it was rolled back; run it again",
        { details: { outcome: "rolled back" } },
      )
    : new PagefoldError(
        "unavailable",
        "the tab that read these rows ended in the middle of them; begin the iteration again",
        { details: { outcome: "cut off" } },
      );
}

/** The leader is there, by its locks, but says nothing. */
export function silentLeader(seconds: number): PagefoldError {
  return new PagefoldError(
    "unavailable",
    `another tab of this site has this database open and has not answered for ${seconds} s: the browser may have frozen it in the background; bring that tab to the front or close it, and try again`,
    { details: { outcome: "unknown" } },
  );
}
