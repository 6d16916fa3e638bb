/**
 * Which SQL is known to change nothing whatever it says, so that it may be run once more when nobody knows whether it ran. What is not
 * plainly so is not: SQLite itself cannot be asked, since the tab that ran it is gone.
 */

/** Spaces and comments before the first word. */
const LEADING = /^(?:\s|--[^\n]*(?:\n|$)|\/\*[\s\S]*?(?:\*\/|$))*/;
const READS = /^(?:SELECT|VALUES|EXPLAIN)\b/i;
/** Common table expressions may stand before a statement of any kind. */
const READS_WITH = /^WITH\b(?![\s\S]*\b(?:INSERT|UPDATE|DELETE|REPLACE)\b)/i;

/** Whether `sql` is one statement that only reads. */
export function isReadOnlySql(sql: string): boolean {
  const text = sql.replace(LEADING, "");
  // A semicolon within a text or before a comment counts, too: then it is merely not known.
  if (/;\s*\S/.test(text)) return false;
  return READS.test(text) || READS_WITH.test(text);
}
