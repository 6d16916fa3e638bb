/** The demo's page: opens the database, and connects console, pictures and panes with it. */
// The build leaves this one out of the page's script: it is loaded as anybody loads `pagefold/browser`.
import { type ObjectStore, openHttpStore } from "../../../vfs/web/index.ts";
import { messageOf, SqlConsole } from "./console.ts";
import { ConsoleDatabase } from "./console-database.ts";
import { element } from "./elements.ts";
import { Monitor } from "./monitor.ts";
import { Panes } from "./panes.ts";

/** What the server was started with. */
const TAG = "social";

/**
 * The server whose page this is. One store for all databases of the page: they share one stream of news, of which a browser has only six to
 * one server.
 */
let store: Promise<ObjectStore> | undefined;

function openStore(): Promise<ObjectStore> {
  store ??= openHttpStore(new URL("..", location.href).href, { kind: "server", name: TAG });
  return store;
}

let database: ConsoleDatabase | undefined;
const sql = new SqlConsole({ database: () => database, onRun: (running) => monitor.running(running) });
const monitor: Monitor = new Monitor({ database: () => database, onTravel: (lsn) => void travel(lsn) });

async function open(): Promise<void> {
  const cold = element("cold", HTMLButtonElement);
  const before = database;
  database = undefined;
  sql.enable(false);
  cold.disabled = true;
  sql.stop();
  sql.say("Opening the database …");
  try {
    await before?.close();
    const start = performance.now();
    database = await ConsoleDatabase.open(await openStore(), TAG, monitor.look);
    sql.say(`Open after ${Math.round(performance.now() - start)} ms. Run a query.`);
    sql.enable(true);
  } catch (error) {
    sql.say(messageOf(error), true);
  } finally {
    cold.disabled = false;
  }
  monitor.look();
}

async function travel(lsn: number | undefined): Promise<void> {
  try {
    await database?.travel(lsn);
    sql.say(
      lsn === undefined ? "Back at the newest state." : `SQL runs on the database as of commit ${lsn} now.`,
    );
  } catch (error) {
    sql.say(messageOf(error), true);
  }
  monitor.look();
}

/** Runs what a button does, once at a time. */
function onClick(id: string, work: () => Promise<void>): void {
  const button = element(id, HTMLButtonElement);
  button.addEventListener("click", async () => {
    button.disabled = true;
    try {
      await work();
    } catch (error) {
      sql.say(messageOf(error), true);
    } finally {
      button.disabled = false;
      monitor.look();
    }
  });
}

onClick("now", () => travel(undefined));
onClick("cold", open);
onClick("push", async () => {
  const lsn = await database?.push();
  sql.say(`Pushed as commit ${lsn}.`);
});
onClick("reset", async () => {
  await database?.reset();
  sql.say("Your commits were dropped; this is what the remote has.");
});

await open();
await new Panes({ store: await openStore(), tag: TAG }).open();
