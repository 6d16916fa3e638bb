/**
 * Leases: who collects or compacts a volume, until when, so that others need not do the same work. Values of a series, so of two who take one at once one
 * gets it. Nothing depends on a lease but that: whoever works on after its lease was lost does no harm.
 */
import type { TimeMs, VolumeId } from "../../base/brand.ts";
import { isPagefoldError, PagefoldError } from "../../base/errors.ts";
import type { Runtime } from "../../base/runtime.ts";
import type { Codecs } from "../../format/codecs.ts";
import { newId } from "../../format/ids.ts";
import { leaseKey, leasesPrefix } from "../../format/keys.ts";
import { decodeLease, encodeLease, type LeaseValue } from "../../format/lease-codec.ts";
import type { ObjectStore } from "../../remote/object-store.ts";
import { appendToSeries, newestInSeries, type Series, type SeriesValue } from "../../remote/series.ts";
import { timeText } from "../delete/deleted.ts";

type Signal = { readonly signal?: AbortSignal };

export interface LeaseOptions extends Signal {
  /** How long it holds unless it is renewed; a day at most. */
  readonly ttlMs: number;
  /** The work, in a word or two of ASCII, for those who find it taken. */
  readonly what: string;
}

/** Given up by `release`, or by not renewing it. */
export interface Lease {
  /** By the holder's clock. */
  readonly until: TimeMs;
  /** Makes it hold for another `ttlMs`. @throws `busy` where somebody took it over meanwhile: stop, they do the work now */
  renew(options?: Signal): Promise<void>;
  /** Lets others have it. Nothing happens where they have taken it already. */
  release(options?: Signal): Promise<void>;
  [Symbol.asyncDispose](): Promise<void>;
}

/** Nobody's clock may keep others out for longer than this. */
const LONGEST_MS = 24 * 3_600_000;

export function leaseSeries(volume: VolumeId): Series {
  return { prefix: leasesPrefix(volume), key: (n) => leaseKey(volume, n) };
}

/** @throws `busy` where another holds it, naming the work and until when (`details.until`) */
export async function takeLease(
  store: ObjectStore,
  codecs: Codecs,
  runtime: Runtime,
  volume: VolumeId,
  options: LeaseOptions,
): Promise<Lease> {
  const lease = new HeldLease({ store, codecs, runtime, volume }, options);
  await lease.take(options);
  return lease;
}

interface LeaseParts {
  readonly store: ObjectStore;
  readonly codecs: Codecs;
  readonly runtime: Runtime;
  readonly volume: VolumeId;
}

class HeldLease implements Lease {
  readonly #parts: LeaseParts;
  readonly #holder: string;
  readonly #ttlMs: number;
  readonly #what: string;
  /** The number of the newest value of ours. */
  #n = 0;
  #until = 0 as TimeMs;
  #released = false;

  constructor(parts: LeaseParts, { ttlMs, what }: LeaseOptions) {
    this.#parts = parts;
    this.#holder = newId(parts.runtime);
    this.#ttlMs = Math.min(ttlMs, LONGEST_MS);
    this.#what = what;
  }

  get until(): TimeMs {
    return this.#until;
  }

  async take(options: Signal): Promise<void> {
    const newest = await this.#newest(0, options);
    if (newest?.value !== undefined && this.#holds(newest.value))
      throw busy(this.#parts.volume, newest.value);
    await this.#append((newest?.n ?? 0) + 1, false, options);
  }

  async renew(options: Signal = {}): Promise<void> {
    if (this.#released) {
      throw new PagefoldError("closed", "this lease was given back; take another", {
        details: { volume: this.#parts.volume },
      });
    }
    // Whoever took it over did so with the next number.
    await this.#append(this.#n + 1, false, options);
  }

  async release(options: Signal = {}): Promise<void> {
    if (this.#released) return;
    this.#released = true;
    const { store, volume } = this.#parts;
    await appendToSeries(store, leaseSeries(volume), this.#value(this.#n + 1, true), signalOf(options));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.release();
  }

  async #append(n: number, released: boolean, options: Signal): Promise<void> {
    const { store, volume, runtime } = this.#parts;
    this.#until = (runtime.now() + this.#ttlMs) as TimeMs;
    if (await appendToSeries(store, leaseSeries(volume), this.#value(n, released), signalOf(options))) {
      this.#n = n;
      return;
    }
    throw busy(volume, (await this.#newest(n, options))?.value);
  }

  #value(n: number, released: boolean): { readonly n: number; readonly bytes: Uint8Array } {
    const value = { holder: this.#holder, until: this.#until, released, what: this.#what };
    return { n, bytes: encodeLease(value, this.#parts.codecs.hash) };
  }

  async #newest(
    known: number,
    options: Signal,
  ): Promise<{ readonly n: number; readonly value: LeaseValue | undefined } | undefined> {
    const { store, volume } = this.#parts;
    const newest = await newestInSeries(store, leaseSeries(volume), known, signalOf(options));
    return newest === undefined ? undefined : { n: newest.n, value: this.#decode(newest) };
  }

  /** One that is damaged, or of a later version, is none: a hint can cost doubled work at worst. */
  #decode({ n, bytes }: SeriesValue): LeaseValue | undefined {
    const { codecs, volume } = this.#parts;
    try {
      return decodeLease(bytes, codecs.hash, { volume, key: leaseKey(volume, n) });
    } catch (error) {
      if (!isPagefoldError(error, "corrupt", "unsupported_version")) throw error;
      return undefined;
    }
  }

  #holds({ until, released }: LeaseValue): boolean {
    const now = this.#parts.runtime.now();
    return !released && until > now && until <= now + LONGEST_MS;
  }
}

function busy(volume: VolumeId, lease: LeaseValue | undefined): PagefoldError {
  const details = { volume, ...(lease === undefined ? {} : { until: lease.until, holder: lease.holder }) };
  const what = lease === undefined ? "something" : `${lease.what}, until ${timeText(lease.until)}`;
  return new PagefoldError(
    "busy",
    `another process has a lease on volume ${volume} (${what}); leave the work to it, or try again later`,
    { details },
  );
}

function signalOf({ signal }: Signal): Signal {
  return signal === undefined ? {} : { signal };
}
