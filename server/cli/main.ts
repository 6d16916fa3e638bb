#!/usr/bin/env node
/** The entry of the `pagefold` command. */
import { runCommand } from "./command.ts";
import { endProcess } from "./session.ts";

// The SDK's word on its own future is for developers, not for whoever runs the command.
process.env.AWS_SDK_JS_NODE_VERSION_SUPPORT_WARNING_DISABLED ??= "true";
endProcess(await runCommand(process.argv.slice(2)));
