/** The command line as a whole: the verbs, the help, and the way from arguments to an exit code. */
import { Command, CommanderError } from "commander";
import packageJson from "../../package.json" with { type: "json" };
import { exitCodes, failureOf, failureText } from "./errors.ts";
import { runWork } from "./session.ts";
import type { Verb } from "./verb.ts";
import { cloneVerb } from "./verbs/clone.ts";
import { compactVerb } from "./verbs/compact.ts";
import { deleteVerb, undeleteVerb } from "./verbs/delete.ts";
import { detachVerb } from "./verbs/detach.ts";
import { diffVerb } from "./verbs/diff.ts";
import { exportVerb } from "./verbs/export.ts";
import { followVerb } from "./verbs/follow.ts";
import { forkVerb, promoteVerb, rebaseVerb } from "./verbs/fork.ts";
import { gcVerb } from "./verbs/gc.ts";
import { hydrateVerb } from "./verbs/hydrate.ts";
import { importVerb } from "./verbs/import.ts";
import { inspectVerb } from "./verbs/inspect.ts";
import { logVerb } from "./verbs/log.ts";
import { pullVerb } from "./verbs/pull.ts";
import { pushVerb } from "./verbs/push.ts";
import { readVerb } from "./verbs/read.ts";
import { resetVerb } from "./verbs/reset.ts";
import { restoreVerb } from "./verbs/restore.ts";
import { retentionVerb } from "./verbs/retention.ts";
import { serveVerb } from "./verbs/serve.ts";
import { sqlVerb } from "./verbs/sql.ts";
import { statusVerb } from "./verbs/status.ts";
import { tagVerb } from "./verbs/tag.ts";
import { tagsVerb } from "./verbs/tags.ts";
import { tokenVerb } from "./verbs/token.ts";
import { verifyVerb } from "./verbs/verify.ts";
import { writeVerb } from "./verbs/write.ts";

const verbs: readonly Verb[] = [
  importVerb,
  exportVerb,
  cloneVerb,
  sqlVerb,
  readVerb,
  writeVerb,
  resetVerb,
  pullVerb,
  followVerb,
  pushVerb,
  statusVerb,
  hydrateVerb,
  logVerb,
  diffVerb,
  restoreVerb,
  inspectVerb,
  compactVerb,
  retentionVerb,
  gcVerb,
  tagsVerb,
  tagVerb,
  forkVerb,
  promoteVerb,
  rebaseVerb,
  detachVerb,
  deleteVerb,
  undeleteVerb,
  verifyVerb,
  serveVerb,
  tokenVerb,
];

const helpText = `
NAME is a tag or a volume id. The store is a directory, file:, s3://bucket/prefix, https://host/path or memory:, given by --store or PAGEFOLD_STORE.

Exit codes: 0 done, 1 failed, 2 misused (the arguments, or SQL that cannot be run), 130 interrupted by Ctrl-C.`;

/** Runs `pagefold ARGS…` and answers with its exit code; everything is printed by then. */
export async function runCommand(args: readonly string[]): Promise<number> {
  let exitCode: number = exitCodes.done;
  const program = new Command("pagefold")
    .description("Versioned volumes of pages in an object store, replicated lazily.")
    .version(packageJson.version)
    .addHelpText("after", helpText)
    .exitOverride()
    // Mistakes are reported below, in the same form as every other failure.
    .configureOutput({ outputError: () => {} });
  for (const verb of verbs) {
    verb(program, async (options, work) => {
      exitCode = await runWork(options, work);
    });
  }
  try {
    await program.parseAsync(args, { from: "user" });
  } catch (error) {
    if (error instanceof CommanderError && error.code === "commander.help") return exitCodes.misused;
    if (error instanceof CommanderError && error.exitCode === 0) return exitCodes.done;
    const failure = failureOf(error, undefined);
    const isMisuse = failure.exitCode === exitCodes.misused;
    const verb = program.commands.find((command) => command.name() === args[0])?.name();
    const hint = isMisuse ? `; see pagefold ${verb === undefined ? "" : `${verb} `}--help` : "";
    const message = failure.message.replace(/\.$/, "") + hint;
    process.stderr.write(failureText({ ...failure, message }, args.includes("--json")));
    return failure.exitCode;
  }
  return exitCode;
}
