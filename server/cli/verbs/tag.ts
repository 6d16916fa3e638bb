import type { VolumeId } from "../../../src/base/brand.ts";
import { PagefoldError } from "../../../src/base/errors.ts";
import { parseVolumeId } from "../../../src/format/ids.ts";
import type { PageStore } from "../../../src/store/page-store.ts";
import { type CommonOptions, nonEmpty, withStore } from "../options.ts";
import { facts } from "../output.ts";
import type { Session } from "../session.ts";
import { table } from "../table.ts";
import type { Verb } from "../verb.ts";

const expectText = "fail unless the tag names this volume now (a tag or a volume id)";

interface ChangeOptions extends CommonOptions {
  readonly expect?: string;
}

/** `pagefold tag set|rm|history NAME`: gives, moves and removes names, atomically, and tells what they stood for. */
export const tagVerb: Verb = (program, run) => {
  const tag = program.command("tag").description("give, move or remove a tag; what it has named");
  withStore(tag.command("set"))
    .description("make a tag name a volume, whatever it named before")
    .argument("<name>", "the tag", nonEmpty)
    .argument("<volume>", "tag or volume id", nonEmpty)
    .option("--expect <volume>", expectText, nonEmpty)
    .action((name: string, target: string, options: ChangeOptions) =>
      run(options, async (session) => {
        const store = await session.openStore(options);
        const { signal } = session;
        const expected = await expectedOf(session, store, options);
        // Opening it tells whether there is such a volume.
        const { id: volume } = await store.volume(target, { signal });
        const before = await store.resolve(name, { signal });
        await store.tag(name, volume, { move: expected ?? true, signal });
        const result = { tag: name, volume, before: before ?? null };
        return { json: result, text: facts({ ...result, before: result.before ?? undefined }) };
      }),
    );
  withStore(tag.command("rm"))
    .description("make a tag name nothing; the volume stays")
    .argument("<name>", "the tag", nonEmpty)
    .option("--expect <volume>", expectText, nonEmpty)
    .action((name: string, options: ChangeOptions) =>
      run(options, async (session) => {
        const store = await session.openStore(options);
        const { signal } = session;
        const expected = await expectedOf(session, store, options);
        const before = await store.resolve(name, { signal });
        await store.untag(name, { signal, ...(expected === undefined ? {} : { expected }) });
        const result = { tag: name, before: before ?? null };
        return { json: result, text: facts(result) };
      }),
    );
  withStore(tag.command("history"))
    .description("the volumes that a tag has named, newest first")
    .argument("<name>", "the tag", nonEmpty)
    .action((name: string, options: CommonOptions) =>
      run(options, async (session) => {
        const store = await session.openStore(options);
        const values = await store.tagHistory(name, { signal: session.signal });
        if (values.length === 0) {
          throw new PagefoldError(
            "not_found",
            `there never was a tag "${name}" in this store; pagefold tags lists those that there are`,
            { details: { tag: name } },
          );
        }
        const json = values.map(({ n, volume, time }) => ({
          ...{ n, time: new Date(time).toISOString(), volume: volume ?? null },
        }));
        const rows = json.map(({ n, time, volume }) => [n, time, volume ?? "(removed)"]);
        return { json, text: table(["n", "time", "volume"], rows) };
      }),
    );
};

async function expectedOf(
  { signal }: Session,
  store: PageStore,
  { expect }: ChangeOptions,
): Promise<VolumeId | undefined> {
  if (expect === undefined) return undefined;
  const volume = parseVolumeId(expect) ?? (await store.resolve(expect, { signal }));
  if (volume !== undefined) return volume;
  throw new PagefoldError(
    "not_found",
    `--expect: there is no tag "${expect}"; pagefold tags lists those that there are`,
    {
      details: { tag: expect },
    },
  );
}
