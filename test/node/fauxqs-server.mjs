// Runs fauxqs, an S3 server in memory, on a free port of 127.0.0.1 and prints its address. A process of its own, because on
// Node 20 it needs a stand-in for `node:sqlite`, which it imports but uses only for persistence.
import { register } from "node:module";

const hook = `
export function resolve(specifier, context, next) {
  if (specifier !== "node:sqlite") return next(specifier, context);
  return { url: "data:text/javascript,export class DatabaseSync {}", shortCircuit: true };
}`;
register(`data:text/javascript,${encodeURIComponent(hook)}`);

const { buildApp } = await import("fauxqs");
const address = await buildApp({ logger: false }).listen({ host: "127.0.0.1", port: 0 });
console.log(address);

// Ends with the process that started it, however that one ended.
process.stdin.resume();
process.stdin.on("end", () => process.exit(0));
