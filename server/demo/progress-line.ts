/** How far the making of the demo's database is. */

/** One line on stderr that changes where that is a terminal; else a line for each thing that is done. */
export class ProgressLine {
  #what = "";
  #shown = "";

  readonly show = (what: string, share: number): void => {
    const { stderr } = process;
    const text = `${what} … ${Math.floor(share * 100)} %`;
    if (stderr.isTTY && text !== this.#shown) stderr.write(`\r\u001b[K${text}`);
    else if (!stderr.isTTY && what !== this.#what) stderr.write(`${what} …\n`);
    this.#what = what;
    this.#shown = text;
  };

  end(): void {
    if (process.stderr.isTTY && this.#shown !== "") process.stderr.write("\r\u001b[K");
  }
}
