// Search in the log of a pane: the worker finds, this counts, marks, and goes from
// one to the next.
import { address } from "./api.js";
import { by, count, number } from "./dom.js";
import { stream } from "./streams.js";

const most = 100_000; // lines that can be gone to; more are counted

// Found is what was found, in the order of lines.
class Found {
  lines = [];
  spans = [];
  count = 0;
  current;
  #far = new Map(); // of lines that show none of it

  add({ line, spans, far }) {
    if (far) this.#far.set(line, far);
    this.lines.push(line);
    this.spans.push(spans);
    this.count = Math.max(this.count, this.lines.length);
  }

  // index is that of the first line found at or after a line.
  index(line) {
    let low = 0, high = this.lines.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.lines[middle] < line) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  at(line) {
    const i = this.index(line);
    return this.lines[i] === line ? { spans: this.spans[i] ?? [], far: this.#far.get(line) } : undefined;
  }
}

export class Search {
  #form = by("search");
  #query = by("q");
  #count = by("found");
  #pane;
  #stop;
  #found;

  constructor() {
    this.#form.addEventListener("submit", (e) => {
      e.preventDefault();
      if (this.#found && !this.#changed()) this.step(e.submitter?.value === "back");
      else this.start(true);
    });
    for (const id of ["regexp", "case"]) by(id).addEventListener("change", () => { if (this.#query.value) this.start(); });
    by("stop").addEventListener("click", () => this.stop());
    this.#query.addEventListener("keydown", (e) => {
      if (e.key === "Enter" && e.shiftKey && this.#found && !this.#changed()) {
        e.preventDefault();
        this.step(true);
      }
    });
  }

  #key() {
    return JSON.stringify([this.#query.value, by("regexp").checked, by("case").checked]);
  }

  #changed() {
    return this.#key() !== this.#asked;
  }

  #asked;

  get active() { return this.#found !== undefined; }

  // use searches in another pane from now on.
  use(pane) {
    if (this.#pane === pane) return;
    this.clear();
    this.#pane = pane;
  }

  // start searches anew. If the query was entered, its field is left once something
  // is found, where n is the next.
  start(entered = false) {
    this.clear();
    const pane = this.#pane;
    if (!this.#query.value || !pane?.artifact) return;
    pane.whenCounted(() => { if (pane === this.#pane) this.#start(entered); });
  }

  #start(entered) {
    this.clear(); // it may have been asked for twice meanwhile
    if (!this.#query.value) return;
    const pane = this.#pane, found = new Found(), begin = pane.here;
    const size = Math.max(1, pane.lines.size);
    let at = 0, gone = false;
    this.#asked = this.#key();
    this.#found = found;
    by("stop").hidden = false;
    this.#say("searching…");
    const q = this.#query.value;
    this.#stop = stream(address(`log/${pane.artifact.index}/search`, {
      q, regexp: Number(by("regexp").checked), case: Number(by("case").checked), from: 1, max: most,
    }), (batch, { end, problem }) => {
      for (const o of batch) {
        if (o.line) found.add(o);
        if (o.count !== undefined) found.count = o.count;
        if (o.at) at = o.at;
        if (o.error) problem = o.error;
      }
      pane.hits(found);
      if (end) this.#ended();
      if (problem) {
        this.#say(problem, true);
        return;
      }
      this.#tell(end ? undefined : at / size);
      // To the first at or after where one is; to the first of all if there is none.
      const i = found.index(begin);
      if (!gone && (i < found.lines.length || (end && found.lines.length > 0))) {
        gone = true;
        if (entered && document.activeElement === this.#query && !this.#changed()) pane.focus();
        this.#go(i % found.lines.length);
      }
    });
  }

  #ended() {
    this.#stop = undefined;
    by("stop").hidden = true;
  }

  // stop ends a search that runs; what it has found stays.
  stop() {
    if (!this.#stop) return;
    this.#stop();
    this.#ended();
    this.#say(`stopped; ${count(this.#found.count, "line")} until then`);
  }

  clear() {
    this.#stop?.();
    this.#ended();
    this.#found = undefined;
    this.#asked = undefined;
    this.#pane?.hits(undefined);
    this.#say("");
  }

  // step goes to the next line found, or the one before.
  step(back) {
    const found = this.#found, total = found?.lines.length;
    if (!total) return;
    const here = this.#pane.here, at = found.index(here);
    const i = back ? at - 1 : found.lines[at] === here && found.current === here ? at + 1 : at;
    this.#go((i + total) % total);
  }

  #go(i) {
    const found = this.#found;
    found.current = found.lines[i];
    this.#pane.select(found.current);
    this.#pane.toMark();
    this.#tell(undefined, i);
  }

  #tell(part, i = this.#found.lines.indexOf(this.#found.current)) {
    const { count: all } = this.#found;
    let text = all === 0 ? "not found" : count(all, "line");
    if (part !== undefined) text = `${number(all)} so far, ${Math.round(part * 100)} %`;
    else if (i >= 0 && all > 0) text = `${number(i + 1)} of ${number(all)}`;
    this.#say(text);
  }

  #say(text, bad = false) {
    // Of what is wrong with a pattern the last part tells, before the pattern itself.
    this.#count.textContent = bad ? text.replace(/^.*error parsing regexp: (.*?)(: `.*)?$/s, "$1") : text;
    this.#count.title = bad ? text : "";
    this.#count.classList.toggle("bad", bad);
    this.#query.setAttribute("aria-invalid", String(bad));
  }
}
