/** Bridges that answer from bytes at hand, or as a test says: one that blocks and one that suspends. */
import { afterEach, describe, it } from "vitest";
import type { FetchPlan, RangeAnswers, RangeRequest } from "../../src/volume/fetch-plan.ts";
import {
  type BlockingBridge,
  drivePlan,
  type FaultBridge,
  type SuspendingBridge,
} from "../../vfs/bridge/bridge.ts";
import { canSuspend } from "../../vfs/sqlite/thunks.ts";
import { closeAll } from "./closers.ts";

type Objects = Readonly<Record<string, Uint8Array>>;
export type BridgeFamily = "blocking" | "suspending";

class Answers {
  readonly batches: (readonly RangeRequest[])[] = [];
  /** Called before each batch is answered; may throw. */
  beforeBatch: (batch: readonly RangeRequest[]) => void = () => {};
  readonly #objects: Objects;

  constructor(objects: Objects) {
    this.#objects = objects;
  }

  protected answer(batch: readonly RangeRequest[]): RangeAnswers {
    this.batches.push(batch);
    this.beforeBatch(batch);
    return batch.map(({ key, offset, length }) => this.#objects[key]?.slice(offset, offset + length));
  }
}

export type FakeBridge = FaultBridge & Pick<Answers, "batches" | "beforeBatch">;

class FakeBlockingBridge extends Answers implements BlockingBridge {
  readonly kind = "shared-memory";
  readonly blocking = true;

  run<T>(plan: FetchPlan<T>): T {
    return drivePlan(plan, (batch) => this.answer(batch));
  }
}

class FakeSuspendingBridge extends Answers implements SuspendingBridge {
  readonly kind = "jspi";
  readonly blocking = false;
  signal: AbortSignal | undefined;

  async run<T>(plan: FetchPlan<T>): Promise<T> {
    let step = plan.next([]);
    while (!step.done) {
      // Not at once, so that SQLite is suspended across a turn of the event loop.
      await new Promise((resolve) => setImmediate(resolve));
      let answers: RangeAnswers;
      try {
        answers = this.answer(step.value);
      } catch (error) {
        step = plan.throw(error);
        continue;
      }
      step = plan.next(answers);
    }
    return step.value;
  }
}

export function fakeBridge(family: BridgeFamily, objects: Objects): FakeBridge {
  return family === "blocking" ? new FakeBlockingBridge(objects) : new FakeSuspendingBridge(objects);
}

/** Runs a suite over both families; what was given to `closeLater` is closed after each test. */
export function overFamilies(what: string, suite: (family: BridgeFamily) => void): void {
  for (const family of ["blocking", "suspending"] as const) {
    describe(`${what}, ${family}`, () => {
      if (family === "suspending" && !canSuspend()) {
        it("is tested", (context) =>
          context.skip(`Node ${process.version} cannot suspend WebAssembly (JSPI)`));
        return;
      }
      afterEach(closeAll);
      suite(family);
    });
  }
}
