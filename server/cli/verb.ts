import type { Command } from "commander";
import type { CommonOptions } from "./options.ts";
import type { Work } from "./session.ts";

/** How a verb hands its work to the command's frame. */
export type Run = (options: Pick<CommonOptions, "json" | "quiet">, work: Work) => Promise<void>;

/** A verb adds its subcommand, options and action to the program. */
export type Verb = (program: Command, run: Run) => void;
