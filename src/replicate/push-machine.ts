/**
 * The protocol by which a commit enters the remote log, as pure functions over data: exactly one writer wins an LSN, and a writer
 * whose answer was lost finds out what happened. `push.ts` carries out the actions; the protocol explorer runs the same functions
 * through every interleaving. What the verbs do around it is in `verb-machine.ts`.
 *
 *   recorded --create--> created ------------------------> stored
 *                        exists  --read back--> ours ----> stored
 *                                               another -> lost
 *                        no answer --read back--> ours, another: as above
 *                                                 absent -> recorded, may be on its way: send the same bytes again
 *                        refused, and never sent before -> refused
 *   stored --ask for the floor--> not above the commit --> won
 *                                 above --read the next commit--> builds on ours --------------> won
 *                                                                 builds on another, or gone --> lost
 *
 * The floor is asked for because what is above it may have been collected: "created" then says only that the commit of that LSN, another's, is gone.
 *
 * While the outcome is open, only the same bytes may be sent, because an earlier request may still arrive.
 */
import { unreachable } from "../base/assert.ts";

export type PushState =
  /** The intent is durable here. `maybeSent`: some request may have reached the store without an answer. */
  | { readonly at: "recorded"; readonly maybeSent: boolean; readonly attempts: number }
  /** The store has (or may have) a commit of this LSN: whose? */
  | { readonly at: "asking"; readonly attempts: number; readonly seenExisting: boolean }
  /** Our very bytes are in the store at that LSN. Is that LSN still one of the log? */
  | { readonly at: "stored"; readonly attempts: number }
  /** The floor is above it: did the log go on from it, or was another collected there? */
  | { readonly at: "below"; readonly attempts: number }
  | { readonly at: "won" }
  | { readonly at: "lost" }
  /** The store refused it for certain: nothing of it can ever appear. */
  | { readonly at: "refused" };

export type PushAction =
  /** Create the commit object, if absent, from the recorded bytes. */
  | { readonly do: "create" }
  /** Read the commit of this LSN and compare. */
  | { readonly do: "readBack" }
  /** Ask for the newest floor. */
  | { readonly do: "askFloor" }
  /** Read the commit of the next LSN: whose hash does it name? */
  | { readonly do: "readNext" }
  /** Record the outcome. */
  | { readonly do: "finish"; readonly result: "won" | "lost" | "refused" };

export type PushEvent =
  | { readonly answer: "created" | "exists" }
  /** The request failed and may or may not have been carried out, now or later. */
  | { readonly answer: "unknown" }
  /** The store refused before doing anything (no permission, no space). */
  | { readonly answer: "refused" }
  | { readonly found: "ours" | "another" | "absent" }
  | { readonly floor: "above" | "notAbove" }
  | { readonly next: "onOurs" | "onAnother" | "absent" };

/** A push that starts now, from an intent just recorded. */
export const freshPush: PushState = { at: "recorded", maybeSent: false, attempts: 0 };

/** A push found in the local log after a crash: its request may have been sent. Ask before sending again. */
export const recoveredPush: PushState = { at: "asking", attempts: 0, seenExisting: false };

export function pushAction(state: PushState): PushAction {
  switch (state.at) {
    case "recorded":
      return { do: "create" };
    case "asking":
      return { do: "readBack" };
    case "stored":
      return { do: "askFloor" };
    case "below":
      return { do: "readNext" };
    case "won":
    case "lost":
    case "refused":
      return { do: "finish", result: state.at };
    default:
      return unreachable(state);
  }
}

export function pushNext(state: PushState, event: PushEvent): PushState {
  if (state.at === "recorded" && "answer" in event) {
    const attempts = state.attempts + 1;
    const { answer } = event;
    switch (answer) {
      case "created":
        return { at: "stored", attempts };
      case "exists":
        return { at: "asking", attempts, seenExisting: true };
      case "unknown":
        return { at: "asking", attempts, seenExisting: false };
      case "refused":
        return state.maybeSent ? { ...state, attempts } : { at: "refused" };
      default:
        return unreachable(answer);
    }
  }
  if (state.at === "asking" && "found" in event) {
    const { found } = event;
    switch (found) {
      case "ours":
        return { at: "stored", attempts: state.attempts };
      case "another":
        return { at: "lost" };
      case "absent":
        return { at: "recorded", maybeSent: true, attempts: state.attempts };
      default:
        return unreachable(found);
    }
  }
  if (state.at === "stored" && "floor" in event) {
    return event.floor === "notAbove" ? { at: "won" } : { at: "below", attempts: state.attempts };
  }
  if (state.at === "below" && "next" in event) return { at: event.next === "onOurs" ? "won" : "lost" };
  return state;
}

/** Requests sent for one commit before the push is left unfinished for a later verb. */
const MAX_ATTEMPTS = 5;

/** Whether the caller should hear "not known yet" now, rather than wait for more attempts. */
export function givesUp(state: PushState): boolean {
  return "attempts" in state && state.attempts >= MAX_ATTEMPTS;
}

/** Whether the store's commit of our LSN is ours: the very bytes that were recorded, not just that LSN or the same pages. */
export function whose(ours: CommitIdentity, stored: CommitIdentity): "ours" | "another" {
  return stored.pushId === ours.pushId && stored.hash === ours.hash ? "ours" : "another";
}

export interface CommitIdentity {
  readonly pushId: string;
  readonly hash: string;
}

/**
 * How an intent is closed. A commit that holds no local ones (an import) is stood upon only while there are none: those made since build on
 * the state before it, and to lay them over it would undo parts of it unseen. It counts as another's then: `diverged`.
 */
export function closing(
  result: "won" | "lost" | "refused",
  throughSequence: number,
  unpushed: number,
): "won" | "lost" | "refused" {
  return result === "won" && throughSequence === 0 && unpushed > 0 ? "lost" : result;
}
