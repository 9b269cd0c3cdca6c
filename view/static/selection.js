// What is done with the lines that are selected: the address says which they are,
// and they can be copied, kept in a file, and printed by a command.
import { address, text } from "./api.js";
import { el, by, say, bytes, count, number } from "./dom.js";

const mostCopied = 8e6; // bytes; more is for a file

// parse reads #ARTIFACT#L120-L140 as an address has it, or one of them: without the
// artifact it is the first one. It is undefined if the lines are none.
export function parse(hash) {
  const found = /^#(?:(.+)#)?L(\d{1,15})(?:-L?(\d{1,15}))?$/.exec(decode(hash));
  if (!found) return { path: decode(hash).slice(1) || undefined };
  const [from, to] = [Number(found[2]), Number(found[3] ?? found[2])];
  return from >= 1 && from <= to ? { path: found[1], from, to } : undefined;
}

function decode(hash) {
  try {
    return decodeURIComponent(hash);
  } catch {
    return hash;
  }
}

// fragment is the address of lines of a log, or of the log: the only one is not named.
export function fragment({ path }, only, lines) {
  const name = only ? "" : encodeURIComponent(path), of = lines ? range(lines) : "";
  return name || of ? `#${name}${name && of ? "%23" : ""}${of}` : "";
}

export const range = ({ from, to }) => (from === to ? `L${from}` : `L${from}-L${to}`);

// quoted is a word of a command as a shell takes it.
const quoted = (word) => (/^[\w@%+=:,./#-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`);

export class Selected {
  #build;
  #pane;

  constructor(build) {
    this.#build = build;
    by("copy").addEventListener("click", () => this.copy());
    by("extend").addEventListener("click", () => {
      this.#pane.extending = !this.#pane.extending;
      this.show(this.#pane);
      if (this.#pane.extending) say("tap the number of the other line");
    });
    by("copy-link").addEventListener("click", () => copied(build.page + fragment(this.#pane.artifact, false, this.#pane.selection), "the link"));
    by("copy-command").addEventListener("click", () => copied(by("command").textContent, "the command"));
  }

  // show says what a pane has selected.
  show(pane) {
    this.#pane = pane;
    const { selection, lines, artifact } = pane;
    const there = Boolean(selection && lines?.counted);
    for (const id of ["copy", "extend"]) by(id).hidden = !there;
    if (!there) pane.extending = false;
    by("extend").setAttribute("aria-pressed", String(pane.extending));
    by("copy-link").hidden = !there || !/^https?:/.test(this.#build.page);
    by("copy-command").hidden = by("command").hidden = !there || !this.#build.uuid;
    by("selected").textContent = there ? `${selection.from === selection.to ? "line" : "lines"} ${range(selection).replaceAll("L", "").replace("-", " to ")}` : "";
    if (there) by("command").textContent = `vitrine cat ${this.#build.uuid.slice(0, 12)} ${quoted(`${artifact.path}#${range(selection)}`)}`;
    if (!artifact || !lines.counted && pane.asked) return; // the address has the lines that wait
    const hash = fragment(artifact, this.#build.artifacts.length === 1, there && selection);
    if (location.hash !== hash) history.replaceState(null, "", hash || location.pathname);
  }

  #address() {
    const { selection, artifact } = this.#pane;
    return address(`log/${artifact.index}/text`, selection ?? {});
  }

  copy() {
    if (this.#pane.selection) this.#pane.whenCounted(() => this.#copy());
    else say("nothing is selected: click a line's number, then another with Shift");
  }

  async #copy() {
    const { selection } = this.#pane;
    if (!selection) return;
    const { covered } = this.#pane, lines = count(selection.to - selection.from + 1, "line");
    try {
      const what = await text(this.#address(), mostCopied);
      if (what === undefined) say(`${lines} are more than ${bytes(mostCopied)}: download them`);
      else await copied(what, covered > 0 ? `${lines}, ${number(covered)} of them folded or filtered away` : lines);
    } catch (e) {
      say(e.message);
    }
  }

  download() {
    if (this.#pane.selection) this.#pane.whenCounted(() => this.#download());
    else this.#download();
  }

  #download() {
    const link = el("a", { href: this.#address(), download: "" });
    document.body.append(link);
    link.click();
    link.remove();
  }
}

async function copied(what, name) {
  try {
    await navigator.clipboard.writeText(what);
    say(`copied ${name}`);
  } catch {
    say("the browser does not let this page copy");
  }
}
