/** The page's side of Pagefold: plain modules, no bundler, memory only, so that nothing is kept between runs. */
import { openDatabase } from "/pagefold/pagefold.js";

window.openIt = async (url = `${location.origin}/store/`) => {
  const db = await openDatabase({
    url,
    tag: "social",
    readOnly: true,
    storage: "memory",
  });
  return { query: (sql) => db.query(sql), status: () => db.status(), close: () => db.close() };
};
window.ready = true;
