/**
 * What lies between one replica and the shared store: delays by seed, so that replicas interleave differently with every seed, and outages
 * in which requests fail before or after they took effect, or take effect late.
 */
import { PagefoldError } from "../../src/base/errors.ts";
import type { Runtime } from "../../src/base/runtime.ts";
import type { ObjectStore } from "../../src/remote/object-store.ts";
import { type Fault, type StoreCall, withFaults } from "../../src/remote/with-faults.ts";

export interface WeatherOptions {
  readonly random: () => number;
  readonly runtime: Runtime;
  /** Longest delay of a request, ms. */
  readonly delayMs: number;
  /** How often an outage begins, per request. */
  readonly outages: number;
}

/** Requests of one outage; some of them belong to one call that is given up soon. */
const OUTAGE_CALLS = 7;

export class Weather {
  readonly store: ObjectStore;
  readonly #options: WeatherOptions;
  #left = 0;
  #calm = false;

  constructor(store: ObjectStore, options: WeatherOptions) {
    this.#options = options;
    this.store = withFaults(store, (call) => this.#next(call), { runtime: options.runtime });
  }

  /** From now on every request comes through, and what was late has come. */
  async calm(): Promise<void> {
    this.#calm = true;
    await this.#options.runtime.sleep(2 * this.#options.delayMs);
  }

  #next({ operation }: StoreCall): Fault | undefined {
    if (this.#calm) return undefined;
    const { random, delayMs, outages } = this.#options;
    if (this.#left === 0 && random() < outages) this.#left = 1 + Math.floor(random() * OUTAGE_CALLS);
    if (this.#left === 0) return random() < 0.3 ? undefined : { kind: "delay", ms: random() * delayMs };
    this.#left--;
    const error = new PagefoldError("unavailable", "the network is down; try again", { retryable: false });
    const how = random();
    if (operation !== "put" || how < 0.4) return { kind: "fail-before", error };
    return how < 0.8 ? { kind: "fail-after", error } : { kind: "late", ms: random() * delayMs, error };
  }
}
