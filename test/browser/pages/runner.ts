/**
 * Runs one call inside a page or a worker: a named exported function of a module, or a case of its suite. Whatever happens becomes plain
 * data, since nothing else crosses to the test's process; errors keep name, code, message, stack, details and causes.
 */
import { collectCases, type PageSuite, SkipSignal } from "./cases.ts";

export interface Call {
  /** Name of the page module: "core" is /app/core.js. */
  readonly module: string;
  readonly kind: "function" | "case";
  readonly name: string;
  readonly args?: unknown;
}

export interface WireError {
  readonly name: string;
  readonly message: string;
  readonly code?: string | number;
  readonly stack?: string;
  readonly details?: unknown;
  readonly cause?: WireError;
}

export type Outcome =
  | { readonly kind: "value"; readonly value: unknown }
  | { readonly kind: "skipped"; readonly reason: string }
  | { readonly kind: "error"; readonly error: WireError };

type Module = Readonly<Record<string, unknown>>;

/** Errors that nobody caught since the last call ended. */
const uncaught: WireError[] = [];
globalThis.addEventListener("error", (event) => uncaught.push(toWire(event.error ?? event.message)));
globalThis.addEventListener("unhandledrejection", (event) => uncaught.push(toWire(event.reason)));

export async function perform(call: Call): Promise<Outcome> {
  uncaught.length = 0;
  const outcome = await attempt(call);
  // Chromium tells of unhandled rejections in a task of its own, which the first timer may overtake.
  for (let turn = 0; turn < 3; turn++) await new Promise((resolve) => setTimeout(resolve, 0));
  const [first] = uncaught;
  if (first === undefined || outcome.kind === "error") return outcome;
  return { kind: "error", error: { ...first, message: `uncaught while ${call.name} ran: ${first.message}` } };
}

async function attempt(call: Call): Promise<Outcome> {
  try {
    const module: Module = await import(new URL(`./${call.module}.js`, import.meta.url).href);
    if (call.kind === "case") {
      await runCase(module, call);
      return { kind: "value", value: null };
    }
    const run = module[call.name];
    if (typeof run !== "function") throw new Error(`${call.module} exports no function ${call.name}`);
    return { kind: "value", value: (await run(call.args)) ?? null };
  } catch (error) {
    if (error instanceof SkipSignal) return { kind: "skipped", reason: error.message };
    return { kind: "error", error: toWire(error) };
  }
}

async function runCase(module: Module, { module: name, name: wanted }: Call): Promise<void> {
  const found = collectCases(module.suite as PageSuite).find((one) => one.name === wanted);
  if (found === undefined)
    throw new Error(`${name} has no case "${wanted}" here: does it depend on where it runs?`);
  await found.body({
    skip: (reason: string) => {
      throw new SkipSignal(reason);
    },
  });
}

export function toWire(error: unknown, depth = 0): WireError {
  if (!(error instanceof Error)) return { name: "thrown value", message: String(error) };
  const { code, details } = error as { code?: unknown; details?: unknown };
  return {
    name: error.name,
    message: error.message,
    ...(typeof code === "string" || typeof code === "number" ? { code } : {}),
    ...(error.stack === undefined ? {} : { stack: error.stack }),
    ...(details === undefined ? {} : { details: asData(details) }),
    ...(error.cause === undefined || depth >= 5 ? {} : { cause: toWire(error.cause, depth + 1) }),
  };
}

function asData(value: unknown): unknown {
  return JSON.parse(
    JSON.stringify(value, (_key, part) => (typeof part === "bigint" ? String(part) : part)) ?? "null",
  );
}
