/**
 * The command for tests of what it does and says: here, in a fraction of the time; with PAGEFOLD_TEST_MORE=1, as the process that users start. What
 * is about processes (signals, pipes, locks) starts them itself, through `cli.ts`.
 */
import { wantsMore } from "../more.ts";
import * as processes from "./cli.ts";
import { failHere, jsonHere, runHere } from "./here.ts";

export const runCli = wantsMore ? processes.runCli : runHere;
export const runJson = wantsMore ? processes.runJson : jsonHere;
export const failJson = wantsMore ? processes.failJson : failHere;
