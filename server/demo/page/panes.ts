/** Two panes with a database each. What is written in one is pushed; the other hears of it from the server and shows it, and how long that took. */

import { Database, type ObjectStore } from "../../../vfs/web/index.ts";
import { h, replace } from "../../inspect/picture/dom.ts";
import { msText } from "../../inspect/picture/words.ts";
import { messageOf } from "./console.ts";
import { element } from "./elements.ts";
import { keepFollowing, type OpenDatabase } from "./follow.ts";

interface Post {
  readonly id: number;
  readonly name: string;
  readonly title: string;
}

const NEWEST =
  "SELECT p.id, u.name, p.title FROM posts p JOIN users u ON u.id = p.author ORDER BY p.id DESC LIMIT 5";
const WRITE = "INSERT INTO posts (author, created, title, body) VALUES (?, unixepoch(), ?, '')";
const AUTHORS = 10;

/** A post on its way: from which pane, and since when. */
interface Journey {
  readonly from: string;
  readonly title: string;
  readonly start: number;
}

export class Panes {
  readonly #travel = element("travel", HTMLElement);
  readonly #panes: readonly Pane[];
  #journey: Journey | undefined;

  constructor(options: { readonly store: ObjectStore; readonly tag: string }) {
    const host: PaneHost = {
      ...options,
      onWrite: (from, title) => {
        this.#journey = { from, title, start: performance.now() };
        this.#travel.textContent = "On its way …";
      },
      onShown: (pane, posts) => this.#arrived(pane, posts),
    };
    this.#panes = ["A", "B"].map((name) => new Pane(name, host));
    element("panes", HTMLElement).append(...this.#panes.map((pane) => pane.element));
  }

  async open(): Promise<void> {
    await Promise.all(this.#panes.map((pane) => pane.open()));
  }

  #arrived(pane: string, posts: readonly Post[]): void {
    const journey = this.#journey;
    if (journey === undefined || journey.from === pane) return;
    if (!posts.some(({ title }) => title === journey.title)) return;
    this.#journey = undefined;
    const time = msText(performance.now() - journey.start);
    this.#travel.textContent = `From pane ${journey.from} to pane ${pane} in ${time}: written, pushed, announced by the server, pulled, queried again.`;
  }
}

interface PaneHost {
  readonly store: ObjectStore;
  readonly tag: string;
  readonly onWrite: (pane: string, title: string) => void;
  readonly onShown: (pane: string, posts: readonly Post[]) => void;
}

class Pane {
  readonly element: HTMLElement;
  readonly #name: string;
  readonly #host: PaneHost;
  readonly #input: HTMLInputElement;
  readonly #button = h("button", { type: "submit", disabled: true }, "Post");
  readonly #list = h("ol");
  readonly #note = h("p", { class: "quiet", role: "status" }, "Opening …");
  #database: OpenDatabase | undefined;
  #seen: ReadonlySet<number> | undefined;

  constructor(name: string, host: PaneHost) {
    this.#name = name;
    this.#host = host;
    this.#input = h("input", {
      type: "text",
      maxlength: 120,
      required: true,
      "aria-label": `A post from pane ${name}`,
      placeholder: "Write something",
      autocomplete: "off",
    });
    const form = h("form", {}, this.#input, this.#button);
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      void this.#post();
    });
    const title = `pane-${name}`;
    this.element = h(
      "div",
      { class: "pane", role: "group", "aria-labelledby": title },
      h("h3", { id: title }, `Pane ${name}`),
      form,
      this.#note,
      this.#list,
    );
  }

  async open(): Promise<void> {
    const { store, tag } = this.#host;
    try {
      const database = await Database.open(store, tag);
      this.#database = database;
      this.#button.disabled = false;
      this.#note.textContent = "";
      void keepFollowing(database);
      void this.#watch(database);
    } catch (error) {
      this.#fail(error);
    }
  }

  async #watch(database: OpenDatabase): Promise<void> {
    try {
      for await (const rows of database.live(NEWEST)) {
        const posts = rows.map(({ id, name, title }) => ({
          id: Number(id),
          name: String(name),
          title: String(title),
        }));
        this.#show(posts);
        this.#host.onShown(this.#name, posts);
      }
    } catch (error) {
      this.#fail(error);
    }
  }

  async #post(): Promise<void> {
    const database = this.#database;
    const title = this.#input.value.trim();
    if (database === undefined || title === "") return;
    this.#button.disabled = true;
    this.#note.classList.remove("error");
    this.#host.onWrite(this.#name, title);
    const row = [1 + Math.floor(Math.random() * AUTHORS), title];
    try {
      await database.exec(WRITE, row);
      // Where the other pane was first, it is written again on top of that.
      const { lsn } = await database.push({
        onDiverged: async (transaction) => {
          await transaction.exec(WRITE, row);
        },
      });
      this.#note.textContent = `Pushed as commit ${lsn}.`;
      this.#input.value = "";
    } catch (error) {
      this.#fail(error);
    } finally {
      this.#button.disabled = false;
    }
  }

  #show(posts: readonly Post[]): void {
    const seen = this.#seen;
    this.#seen = new Set(posts.map(({ id }) => id));
    replace(
      this.#list,
      ...posts.map(({ id, name, title }) =>
        h(
          "li",
          { class: seen === undefined || seen.has(id) ? undefined : "new" },
          title,
          h("span", { class: "who" }, name),
        ),
      ),
    );
  }

  #fail(error: unknown): void {
    this.#note.textContent = messageOf(error);
    this.#note.classList.add("error");
  }
}
