/** The page's side of Pagefold: plain modules, no bundler, memory only, so that nothing is kept between runs. */
import { openDatabase } from "/pagefold/pagefold.js";

window.openIt = async () => {
  const db = await openDatabase({
    url: `${location.origin}/store/`,
    tag: "social",
    readOnly: true,
    storage: "memory",
  });
  return { query: (sql) => db.query(sql), close: () => db.close() };
};
window.ready = true;
