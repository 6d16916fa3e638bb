/**
 * What the demo serves: a store with the generated database as a volume. Made on the first run, in a directory that later runs find again; an
 * interrupted first run is begun anew by the next one.
 */
import { existsSync } from "node:fs";
import { mkdir, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { importFile, openStore } from "../../src/node/index.ts";
import { generateSocial, SOCIAL_GENERATION } from "./data/social.ts";

export const DEMO_TAG = "social";

export interface DemoData {
  /** Directory of the store. */
  readonly store: string;
  readonly tag: string;
}

export interface PrepareOptions {
  /** Where the demo keeps what it makes. */
  readonly directory: string;
  /** About how large the database is to be. */
  readonly bytes: number;
  readonly signal?: AbortSignal;
  /** What is being done, and how much of it is done, 0 … 1. */
  readonly onProgress?: (what: string, share: number) => void;
}

const SEED = 20_260_101;

/** @throws `aborted`, `quota` */
export async function prepareDemo(options: PrepareOptions): Promise<DemoData> {
  const { bytes, signal, onProgress } = options;
  const directory = join(options.directory, `social-${Math.round(bytes / 1e6)}mb-v${SOCIAL_GENERATION}`);
  const data = { store: join(directory, "store"), tag: DEMO_TAG };
  const marker = join(directory, "complete.json");
  if (existsSync(marker)) {
    // Written last: what it stands beside is whole.
    JSON.parse(await readFile(marker, "utf8"));
    return data;
  }
  await rm(directory, { recursive: true, force: true });
  await mkdir(directory, { recursive: true });
  const file = join(directory, "social.db");
  const optional = signal === undefined ? {} : { signal };
  await generateSocial(file, {
    ...{ bytes, seed: SEED, ...optional },
    onProgress: (what, done, total) => onProgress?.(`generating ${what}`, done / total),
  });
  const store = await openStore(data.store, { create: true });
  try {
    await importFile(store, file, {
      ...{ tag: DEMO_TAG, ...optional },
      onProgress: (done, total) => onProgress?.("importing", total > 0 ? done / total : 0),
    });
  } finally {
    await store.close();
  }
  await rm(file);
  await writeFile(marker, `${JSON.stringify({ bytes, seed: SEED, generation: SOCIAL_GENERATION })}\n`);
  return data;
}
