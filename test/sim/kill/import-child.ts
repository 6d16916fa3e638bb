/**
 * Imports one version of a file after the other until it is killed, saying so before and after each. Arguments: the built
 * package's Node entry, the store, the local directory, the file, its size in version 0.
 */
import * as fs from "node:fs";
import { FileVersions, numberIn, TAG } from "./content.ts";

const [entry, store, local, file, size] = process.argv.slice(2) as [string, string, string, string, string];
const { importFile, openStore } = (await import(entry)) as typeof import("../../../src/node/index.ts");

const say = (text: string) => fs.writeSync(1, `${text}\n`);

const versions = new FileVersions(Number(size));
const pages = await openStore(store, { local, workers: 0, create: true });
say("open");
// What the file holds already comes first: its import may have been cut off.
for (let k = fs.existsSync(file) ? numberIn(fs.readFileSync(file)) : 0; ; k++) {
  const bytes = versions.to(k);
  fs.writeFileSync(`${file}.new`, bytes);
  fs.renameSync(`${file}.new`, file);
  say(`importing ${k}`);
  const { lsn } = await importFile(pages, file, { tag: TAG });
  say(`imported ${k} ${lsn}`);
}
