import { systemRuntime } from "./runtime.ts";

/**
 * Diagnostics. The engine reports counters, histograms and spans to a `Recorder`; the default one does nothing and costs one
 * virtual call. Names are dotted, lower case, unit last: `remote.get.count`, `fault.duration_ms`.
 */
export interface Recorder {
  /** Adds to a monotonic counter. */
  count(name: string, add?: number): void;
  /** One observation of a distribution. */
  observe(name: string, value: number): void;
  /** Starts a span; call the result when it ends, with the error if it failed. */
  span(name: string, attributes?: Readonly<Record<string, string | number>>): (error?: unknown) => void;
}

const endNothing = (): void => {};

export const noopRecorder: Recorder = {
  count: () => {},
  observe: () => {},
  span: () => endNothing,
};

/** Summary of one histogram. */
export interface Distribution {
  readonly count: number;
  readonly sum: number;
  readonly min: number;
  readonly max: number;
}

/** Keeps totals in memory: for tests, the command's statistics and small dashboards. Memory: one entry per name. */
export class MemoryRecorder implements Recorder {
  readonly counters = new Map<string, number>();
  readonly distributions = new Map<string, Distribution>();
  readonly #monotonic: () => number;

  constructor(monotonic: () => number = systemRuntime.monotonic) {
    this.#monotonic = monotonic;
  }

  count(name: string, add = 1): void {
    this.counters.set(name, (this.counters.get(name) ?? 0) + add);
  }

  observe(name: string, value: number): void {
    const d = this.distributions.get(name);
    this.distributions.set(
      name,
      d === undefined
        ? { count: 1, sum: value, min: value, max: value }
        : {
            count: d.count + 1,
            sum: d.sum + value,
            min: Math.min(d.min, value),
            max: Math.max(d.max, value),
          },
    );
  }

  span(name: string): (error?: unknown) => void {
    const start = this.#monotonic();
    return (error) => {
      this.observe(`${name}.duration_ms`, this.#monotonic() - start);
      if (error !== undefined) this.count(`${name}.failed`);
    };
  }

  get(name: string): number {
    return this.counters.get(name) ?? 0;
  }
}
