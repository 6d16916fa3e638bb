/**
 * What push, pull, fetch and reset do next, as a pure function of where the replica stands: above all that nothing else happens while
 * the outcome of an earlier push is open. `push.ts` and `fetch.ts` carry the steps out; the protocol explorer runs the same
 * function through every interleaving.
 */
import { unreachable } from "../base/assert.ts";

export type Verb = "fetch" | "pull" | "push" | "reset";

export type VerbStep =
  /** Find out how the open push ended, sending the same bytes again if need be. */
  | "settle"
  /** Ask the remote for its newest commit. */
  | "learn"
  /** Move onto the newest commit that was learned. */
  | "move"
  /** Record and create the commit that holds the local ones. */
  | "publish"
  /** Forget the local commits. */
  | "drop"
  /** Tell the caller that both sides have commits which the other lacks; change nothing. */
  | "diverged"
  | "done";

/** Where the replica stands, and how far the verb has come. */
export interface Standing {
  /** A push was recorded and its outcome is not. */
  readonly intentOpen: boolean;
  /** Local commits that are in no remote commit. */
  readonly unpushed: number;
  /** LSN of the commit that the replica stands on. */
  readonly base: number;
  /** The newest remote LSN, once this verb has learned it. */
  readonly head: number | undefined;
  /** The verb has published, or dropped, what there was: what came since is the next call's. */
  readonly acted: boolean;
}

export function nextStep(verb: Verb, standing: Standing): VerbStep {
  const { intentOpen, unpushed, base, head, acted } = standing;
  if (intentOpen) return "settle";
  switch (verb) {
    case "fetch":
      return head === undefined ? "learn" : "done";
    case "pull":
      if (head === undefined) return "learn";
      if (head === base) return "done";
      return unpushed > 0 ? "diverged" : "move";
    case "push":
      return acted || unpushed === 0 ? "done" : "publish";
    case "reset":
      return acted || unpushed === 0 ? "done" : "drop";
    default:
      return unreachable(verb);
  }
}
