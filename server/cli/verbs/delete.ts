import type { VolumeId } from "../../../src/base/brand.ts";
import { PagefoldError } from "../../../src/base/errors.ts";
import { parseVolumeId } from "../../../src/format/ids.ts";
import { usageError } from "../errors.ts";
import { type CommonOptions, defined, nonEmpty, withStore } from "../options.ts";
import { facts } from "../output.ts";
import type { Session } from "../session.ts";
import type { Verb } from "../verb.ts";

interface DeleteOptions extends CommonOptions {
  readonly confirm?: string;
  readonly purge?: true;
}

interface UndeleteOptions extends CommonOptions {
  readonly tags: boolean;
}

/** `pagefold delete NAME --confirm ID`: takes a volume from everybody; with --purge there is no way back. */
export const deleteVerb: Verb = (program, run) => {
  withStore(program.command("delete"))
    .description("delete a volume and its tags; pagefold undelete puts it back until a collection takes it")
    .argument("<name>", "tag or volume id", nonEmpty)
    .option("--confirm <id>", "the volume's id once more", nonEmpty)
    .option("--purge", "delete its objects at once: there is no way back")
    .action((name: string, options: DeleteOptions) =>
      run(options, async (session) => remove(session, name, options)),
    );
};

async function remove(session: Session, name: string, options: DeleteOptions) {
  const { signal } = session;
  const store = await session.openStore(options);
  const volume: VolumeId | undefined = parseVolumeId(name) ?? (await store.resolve(name, { signal }));
  if (volume === undefined) {
    throw new PagefoldError(
      "not_found",
      `there is no tag "${name}" in ${options.store}; see \`pagefold tags\``,
      {
        details: { tag: name },
      },
    );
  }
  if (options.confirm === undefined)
    throw usageError(
      `deleting volume ${volume} wants its id once more: add --confirm ${volume} if that is meant`,
    );
  const { tags, time, objects } = await store.deleteVolume(volume, {
    confirm: options.confirm,
    ...defined({ purge: options.purge }),
    signal,
  });
  const deleted = time === undefined ? undefined : new Date(time).toISOString();
  const result = { volume, tags, ...(deleted === undefined ? { objects } : { deleted }) };
  return {
    json: result,
    text: facts({ ...result, tags: tags.join(" ") || undefined }),
    talk:
      deleted === undefined
        ? "nothing of it is left"
        : `pagefold undelete ${volume} puts it back, until a collection takes it`,
  };
}

/** `pagefold undelete ID`: puts a deleted volume back, with the tags that nothing else has taken. */
export const undeleteVerb: Verb = (program, run) => {
  withStore(program.command("undelete"))
    .description("put a deleted volume back, with its tags")
    .argument("<id>", "the volume's id: no tag names it any more", nonEmpty)
    .option("--no-tags", "without its tags")
    .action((id: string, options: UndeleteOptions) =>
      run(options, async (session) => {
        const volume = parseVolumeId(id);
        if (volume === undefined)
          throw usageError(`"${id}" is no volume id, and no tag names a deleted volume`);
        const store = await session.openStore(options);
        const { tags, taken } = await store.undelete(volume, { tags: options.tags, signal: session.signal });
        const result = { volume, tags, taken };
        const lost = `${taken.join(", ")} ${taken.length === 1 ? "names" : "name"} another volume by now`;
        return {
          json: result,
          text: facts({ volume, tags: tags.join(" ") || undefined }),
          ...(taken.length === 0 ? {} : { talk: lost }),
        };
      }),
    );
};
