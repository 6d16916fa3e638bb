#!/usr/bin/env node
/** The entry of the `pagefold` command. */
import { runCommand } from "./command.ts";
import { endProcess } from "./session.ts";

endProcess(await runCommand(process.argv.slice(2)));
