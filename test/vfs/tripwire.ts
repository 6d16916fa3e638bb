/** A source of views whose every member, and that of its views, its writer and their transactions, can be made to throw at its nth use. */
import type { ViewSource } from "../../vfs/sqlite/view-source.ts";

/** Objects that are watched themselves, by the member that answers them. */
const WATCHED: Readonly<Record<string, string>> = {
  current: "view.",
  acquire: "view.",
  writer: "writer.",
  "writer.tryBegin": "transaction.",
};

export class Tripwire {
  readonly bug = new TypeError("a bug below SQLite");
  fired = false;
  readonly #proxies = new WeakMap<object, object>();
  readonly #originals = new WeakMap<object, object>();
  #point = "";
  #left = 0;
  #when: "before" | "after" = "before";

  /** The nth use of a member from now on throws, before it has done anything or when it is done. */
  arm(point: string, nth: number, when: "before" | "after" = "before"): void {
    this.#point = point;
    this.#left = nth;
    this.#when = when;
    this.fired = false;
  }

  disarm(): void {
    this.#left = 0;
  }

  watch(source: ViewSource): ViewSource {
    return this.#watched(source, "");
  }

  #watched<T extends object>(target: T, prefix: string): T {
    const known = this.#proxies.get(target);
    // The same object is the same to whoever compares.
    if (known !== undefined && prefix !== "writer.") return known as T;
    const proxy = new Proxy(target, {
      get: (object, property) => {
        const name = `${prefix}${String(property)}`;
        const value = Reflect.get(object, property, object) as unknown;
        if (typeof value !== "function") return this.#used(name, () => value);
        return (...args: unknown[]) =>
          this.#used(name, () =>
            Reflect.apply(
              value,
              object,
              args.map((arg) => this.#original(arg)),
            ),
          );
      },
    });
    this.#proxies.set(target, proxy);
    this.#originals.set(proxy, target);
    return proxy;
  }

  #used(name: string, use: () => unknown): unknown {
    const fires = name === this.#point && this.#left > 0 && --this.#left === 0;
    if (fires) this.fired = true;
    if (fires && this.#when === "before") throw this.bug;
    const value = use();
    if (fires) throw this.bug;
    const prefix = WATCHED[name];
    return prefix === undefined || typeof value !== "object" || value === null
      ? value
      : this.#watched(value, prefix);
  }

  #original(value: unknown): unknown {
    return typeof value === "object" && value !== null ? (this.#originals.get(value) ?? value) : value;
  }
}
