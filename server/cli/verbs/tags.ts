import { type CommonOptions, withStore } from "../options.ts";
import { table } from "../table.ts";
import type { Verb } from "../verb.ts";

/** `pagefold tags`: the names in a store and the volumes they stand for. */
export const tagsVerb: Verb = (program, run) => {
  withStore(program.command("tags"))
    .description("the tags of a store and their volumes")
    .action((options: CommonOptions) =>
      run(options, async (session) => {
        const store = await session.openStore(options);
        const tags = (await store.tags({ signal: session.signal })).map(({ tag, volume }) => ({
          tag,
          volume,
        }));
        const text = table(
          ["tag", "volume"],
          tags.map(({ tag, volume }) => [tag, volume]),
        );
        return tags.length === 0
          ? { json: tags, text: "", talk: "no tags; pagefold import FILE --tag NAME makes one" }
          : { json: tags, text };
      }),
    );
};
