/** The module worker of a test page: runs the calls that the page hands on. */
import { type Call, perform } from "./runner.ts";

globalThis.addEventListener("message", async (event: MessageEvent<{ id: number; call: Call }>) => {
  const { id, call } = event.data;
  globalThis.postMessage({ id, outcome: await perform(call) });
});
