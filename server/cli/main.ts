#!/usr/bin/env node
/** The entry of the `pagefold` command. */
import { setMaxListeners } from "node:events";
import { runCommand } from "./command.ts";
import { endProcess } from "./session.ts";

// The SDK's word on its own future is for developers, not for whoever runs the command.
process.env.AWS_SDK_JS_NODE_VERSION_SUPPORT_WARNING_DISABLED ??= "true";
// One signal ends all requests that are under way; that there are more than ten of them is no leak to be warned of.
setMaxListeners(0);
endProcess(await runCommand(process.argv.slice(2)));
