import { rename, rm, writeFile } from "node:fs/promises";
import { InvalidArgumentError } from "commander";
import { isPagefoldError } from "../../../src/base/errors.ts";
import type { DeepCounts, Finding, VerifyProgress } from "../../../src/index.ts";
import { checksumText } from "../json.ts";
import { learnPoints } from "../learn-points.ts";
import {
  type CommonOptions,
  defined,
  nonEmpty,
  type PastOptions,
  pastPoint,
  withPast,
  withStore,
} from "../options.ts";
import { facts } from "../output.ts";
import type { Progress } from "../progress.ts";
import { readResume } from "../resume-file.ts";
import type { Session } from "../session.ts";
import type { Verb } from "../verb.ts";

interface VerifyOptions extends CommonOptions, PastOptions {
  readonly deep?: true;
  readonly sample?: number;
  readonly keepGoing?: true;
  readonly concurrency?: number;
  readonly resume?: string;
}

/** How often a verification that may be resumed writes down how far it is. */
const SAVE_MS = 5000;

/** `pagefold verify NAME`: fetches and checks everything that a commit reaches: frames, hashes, digests, the state checksum. */
export const verifyVerb: Verb = (program, run) => {
  withPast(withStore(program.command("verify")))
    .description("check every frame, hash, digest and the state checksum in the store")
    .argument("<name>", "tag or volume id", nonEmpty)
    .option("--deep", "and the state checksum of every commit, and what rollups and checkpoints say")
    .option(
      "--sample <share>",
      "only pages chosen at random: a share (0.01, 1%) or a number of them",
      sampleOf,
    )
    .option("--keep-going", "report everything that is wrong, not only the first thing")
    .option("--resume <file>", "keep in this file how far it is, and go on from there", nonEmpty)
    .action((name: string, options: VerifyOptions) =>
      run(options, (session) => verify(session, name, options)),
    );
};

async function verify(session: Session, name: string, options: VerifyOptions) {
  const { signal } = session;
  const store = await session.openStore(options);
  const volume = await store.volume(name, { signal });
  const past = pastPoint(options);
  if (past !== undefined) await learnPoints(session, volume, [past]);
  const lsn = past instanceof Date ? await volume.lsnAt(past, { signal }) : past;
  const save = new ResumeFile(options.resume);
  const bar = new Bars(session);
  try {
    const { sample, deep, keepGoing } = options;
    const {
      deep: counts,
      findings,
      findingCount,
      ...checked
    } = await volume.verify({
      ...defined({ lsn, sample, deep, keepGoing, resume: await readResume(options.resume) }),
      signal,
      onProgress: (progress) => {
        bar.update(progress);
        save.later(progress);
      },
    });
    await save.remove();
    const { commits, pages, bytesFetched } = checked;
    const cost = { bytesFetched, requests: session.requests(), ms: session.ms() };
    const stateChecksum = checksumText(checked.stateChecksum);
    const result = { volume: volume.id, lsn: checked.lsn, commits, pages, stateChecksum, ...counts, ...cost };
    const failed = findingCount > 0;
    return {
      json: { ...result, ...(options.keepGoing ? { findingCount, findings } : {}) },
      text: [facts(result), ...findingLines(findings, findingCount)].join("\n"),
      talk: failed ? `${findingCount} things are not as they were written` : goodWords(options, counts),
      failed,
    };
  } catch (error) {
    // What is wrong is found again; what was cut off goes on.
    if (isPagefoldError(error, "aborted", "unavailable")) await save.now(error.details.resume);
    throw error;
  }
}

function goodWords({ sample }: VerifyOptions, counts: DeepCounts | undefined): string {
  const lost = (counts?.lostBands ?? 0) + (counts?.lostCheckpoints ?? 0);
  if (lost > 0)
    return "everything is as it was written; rollups or checkpoints are missing, which costs readers requests";
  return sample === undefined ? "everything is as it was written" : "what was looked at is as it was written";
}

function findingLines(findings: readonly Finding[], count: number): string[] {
  const lines = findings.map(({ message }) => `  ${message}`);
  return count > findings.length ? [...lines, `  and ${count - findings.length} more`] : lines;
}

/** A bar for each part of the work. */
class Bars {
  readonly #session: Session;
  #part: VerifyProgress["part"] | undefined;
  #bar: Progress | undefined;

  constructor(session: Session) {
    this.#session = session;
  }

  update({ part, commits, pages }: VerifyProgress): void {
    if (part !== this.#part) {
      this.#bar?.end();
      this.#part = part;
      this.#bar = this.#session.progress(`verify ${part}`, part === "pages" ? "pages" : "commits");
    }
    const { done, total } = part === "pages" ? pages : commits;
    this.#bar?.update(done, total);
  }
}

/** Where a verification that was cut off goes on. */
class ResumeFile {
  readonly #path: string | undefined;
  #savedAt = performance.now();
  #saving: Promise<void> = Promise.resolve();

  constructor(path: string | undefined) {
    this.#path = path;
  }

  later(progress: VerifyProgress): void {
    if (this.#path === undefined || performance.now() - this.#savedAt < SAVE_MS) return;
    this.#savedAt = performance.now();
    const token = progress.token();
    // A file that cannot be written fails at the end, where it is needed.
    this.#saving = this.#saving.then(() => this.#write(token)).catch(() => {});
  }

  async now(token: unknown): Promise<void> {
    await this.#saving;
    if (typeof token === "string") await this.#write(token);
  }

  async remove(): Promise<void> {
    await this.#saving;
    if (this.#path !== undefined) await rm(this.#path, { force: true });
  }

  async #write(token: string): Promise<void> {
    if (this.#path === undefined) return;
    const next = `${this.#path}.next`;
    await writeFile(next, token);
    await rename(next, this.#path);
  }
}

/** A share of the pages, or how many. */
function sampleOf(text: string): number {
  const percent = /^(\d+(?:\.\d+)?)%$/.exec(text)?.[1];
  const value =
    percent === undefined ? (/^\d+(\.\d+)?$/.test(text) ? Number(text) : Number.NaN) : Number(percent) / 100;
  const fine = percent === undefined ? value <= 1 || Number.isSafeInteger(value) : value <= 1;
  if (!(value > 0) || !fine)
    throw new InvalidArgumentError("Give a share such as 0.01 or 1%, or a whole number of pages.");
  return value;
}
