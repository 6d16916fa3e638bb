/**
 * The one interface behind which every way of bridging stands. SQLite reads synchronously, the network does not: a bridge carries
 * out a fetch plan in the middle of an `xRead`. Used by the VFS alone; knows ranges of objects, not pages and not SQLite.
 *
 * There are two families. A *blocking* bridge stops the thread until the bytes are there, and `xRead` simply calls it. A
 * *suspending* one answers a promise and needs SQLite to be entered and left through wasm stack switching; the VFS keeps the
 * read that needs no fetch apart from the read after a fault, so that such a bridge replaces only the second.
 */
import { PagefoldError } from "../../src/base/errors.ts";
import type { FetchPlan, RangeAnswers, RangeRequest } from "../../src/volume/fetch-plan.ts";

/** Best first: suspension of SQLite, a thread that moves bytes into shared memory, synchronous requests, nothing but what is here. */
export type BridgeKind = "jspi" | "shared-memory" | "sync-xhr" | "resident-only";

export interface BlockingBridge {
  readonly kind: Exclude<BridgeKind, "jspi">;
  readonly blocking: true;
  /** Whether what runs now is to end; asked while it waits, set anew for each statement. */
  interrupted?: () => boolean;
  /** Runs a plan to its end; throws what the plan throws (`unavailable`, `corrupt`, `aborted` …). */
  run<T>(plan: FetchPlan<T>): T;
}

export interface SuspendingBridge {
  readonly kind: "jspi";
  readonly blocking: false;
  /** Ends the fetches of what runs now (`aborted`); set anew for each statement. */
  signal: AbortSignal | undefined;
  run<T>(plan: FetchPlan<T>): Promise<T>;
}

export type FaultBridge = BlockingBridge | SuspendingBridge;

/**
 * Drives a plan with a function that fetches one batch and blocks until it is there. A failed batch is thrown into the plan, which
 * may go on without it (what was only read ahead) or end with that error.
 */
export function drivePlan<T>(plan: FetchPlan<T>, fetch: (batch: readonly RangeRequest[]) => RangeAnswers): T {
  let step = plan.next([]);
  while (!step.done) {
    let answers: RangeAnswers;
    try {
      answers = step.value.length === 0 ? [] : fetch(step.value);
    } catch (error) {
      step = plan.throw(error);
      continue;
    }
    step = plan.next(answers);
  }
  return step.value;
}

/** For threads that cannot wait and snapshots that are known to be hydrated: any fault is `unavailable`. */
export class ResidentOnlyBridge implements BlockingBridge {
  readonly kind = "resident-only";
  readonly blocking = true;

  run<T>(plan: FetchPlan<T>): T {
    return drivePlan(plan, (batch) => {
      throw new PagefoldError(
        "unavailable",
        `${batch.length} ranges must be fetched (the first of ${batch[0]?.key}), and this connection reads resident pages only; hydrate the volume first`,
        { retryable: false, details: { ...(batch[0] === undefined ? {} : { key: batch[0].key }) } },
      );
    });
  }
}
