/**
 * An inspection as one HTML file that needs nothing else: style, script and data lie in it, and a content security policy allows no other. Data is
 * never markup here: it is JSON in a script element, which the script turns into text.
 */
import { createHash } from "node:crypto";
import { readFile } from "node:fs/promises";
import { PagefoldError } from "../../src/base/errors.ts";
import type { Inspection } from "../../src/inspect/inspection.ts";
import { pictureStyle } from "./picture/style.ts";

/** The built `picture/main.ts`, which imports nothing at run time. */
export async function pictureScript(): Promise<string> {
  const url = new URL("./inspect-picture.js", import.meta.url);
  try {
    const script = await readFile(url, "utf8");
    return script.replace(/^\/\/# sourceMappingURL=.*$/m, "").trim();
  } catch (cause) {
    throw new PagefoldError(
      "not_found",
      `the script of the picture is missing beside the command (${url.pathname}); install pagefold again`,
      { cause },
    );
  }
}

/** @param script as `pictureScript` answers it */
export function inspectionHtml(inspection: Inspection, script: string): string {
  if (/<\/script|<!--/i.test(script))
    throw new PagefoldError("invalid", "the script of the picture would end its own element; build it again");
  const title = escapeHtml(`${inspection.name} at LSN ${inspection.lsn}`);
  const policy = [
    "default-src 'none'",
    `script-src ${hashSource(script)}`,
    `style-src ${hashSource(pictureStyle)}`,
    "base-uri 'none'",
    "form-action 'none'",
  ].join("; ");
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="${policy}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="generator" content="pagefold inspect">
<title>${title}</title>
<style>${pictureStyle}</style>
</head>
<body>
<header class="wrap"><h1>${title}</h1></header>
<main></main>
<noscript><p class="wrap">The pictures are drawn by a script, which is switched off; the data is in this file as JSON.</p></noscript>
<script type="application/json" id="inspection">${scriptJson(inspection)}</script>
<script type="module">${script}</script>
</body>
</html>
`;
}

/** JSON that no parser of HTML sees an element in. */
function scriptJson(value: unknown): string {
  return JSON.stringify(value).replace(/[<>&\u2028\u2029]/g, (char) => {
    return `\\u${char.charCodeAt(0).toString(16).padStart(4, "0")}`;
  });
}

function escapeHtml(text: string): string {
  const names: Readonly<Record<string, string>> = {
    "&": "&amp;",
    "<": "&lt;",
    ">": "&gt;",
    '"': "&quot;",
    "'": "&#39;",
  };
  return text.replace(/[&<>"']/g, (char) => names[char]!);
}

function hashSource(text: string): string {
  return `'sha256-${createHash("sha256").update(text).digest("base64")}'`;
}
