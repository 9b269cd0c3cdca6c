// A pane shows one log: its lines, what is folded or filtered away, what was found
// in it, what is selected. There are one or two.
import { address } from "./api.js";
import { el, hear, say, bytes, count, number } from "./dom.js";
import { Hidden } from "./hidden.js";
import { Lines } from "./lines.js";
import { row } from "./row.js";
import { Scrollbar } from "./scrollbar.js";
import { Sections, severe } from "./sections.js";
import { fragment } from "./selection.js";
import { stream } from "./streams.js";
import { Viewport } from "./viewport.js";

const scanned = 256e6; // bytes: a longer log is looked through when somebody asks for what that tells
const pieceSize = 32 << 10, mostPieces = 8;
const sorts = { errors: ["failed", "error"], warnings: ["warning"], sections: ["play", "task", "group", "heading"] }; // as a scan bounds them
const third = 0.3; // of the window is above a line that is jumped to

// Pane tells by "move" ({user}), "place" (what is shown was changed), "select",
// "sections", "download" and "use" (it was clicked).
export class Pane extends EventTarget {
  element;
  artifact;
  lines;
  viewport;
  selection; // {from, to}, lines; or undefined
  asked; // the same, to be selected once lines are counted
  sections = new Sections([], 0);
  progress; // of the scan: undefined before it, a part up to 1, "done" after
  limits = {}; // of each sort of marks of which there are more than were told: the first line
  level = "all";
  found; // by search.js
  extending = false; // a line that is tapped is the selection's other end
  #folds = new Set();
  #opened = new Map();
  #marks = [];
  #bar;
  #view;
  #inner;
  #state;
  #note;
  #picker;
  #download = el("button", { type: "button", className: "download", on: { click: () => this.#emit("download") } });
  #stop;
  #waiting = []; // for the lines to be counted
  #scanned = []; // for the scan
  #halt = el("button", { type: "button", on: { click: () => this.stopScan() } }, "Stop");
  #before; // the place that was left when lines were filtered away
  #stopped; // the part at which a scan was stopped
  #goes; // to a time: what ends that
  #untimed = false; // somebody wants to know the time here
  #partner; // the line that is at the time of the other pane's
  #anchor;
  #jumped; // the line gone to, until it is announced
  #only; // there is no other log
  #told; // the timer of what is told
  #trouble; // why a scan ended early
  #toMark = false; // what was found is to be brought into sight

  constructor(artifacts, id) {
    super();
    this.#only = artifacts.length === 1;
    this.#inner = el("div", { className: "rows", role: "rowgroup" });
    this.#view = el("div", { className: "view", id, tabIndex: 0, role: "table", "aria-busy": "true" }, this.#inner);
    this.#state = el("p", { className: "state", role: "status" });
    this.#note = el("span", { className: "size" });
    this.#picker = artifacts.length > 1
      ? el("select", { "aria-label": "log", on: { change: (e) => this.open(artifacts[e.target.value]) } }, ...artifacts.map((a) => el("option", { value: a.index }, a.path)))
      : el("b", { className: "path", title: artifacts[0]?.path ?? "" }, artifacts[0]?.path ?? "");
    this.viewport = new Viewport(this.#view, this.#inner, {
      draw: (n) => this.#draw(n), want: (list) => this.lines?.want(list), hidden: new Hidden(),
    });
    this.#bar = new Scrollbar(this.viewport, id);
    this.element = el("section", { className: "pane" },
      el("header", {}, this.#picker, this.#note, this.#download), el("div", { className: "window" }, this.#view, this.#bar.element, this.#state));
    this.viewport.addEventListener("move", (e) => {
      if (e.detail.user) this.#before = undefined;
      this.#emit("move", e.detail);
      this.#showMark();
      this.#announce();
    });
    this.addEventListener("select", () => this.#label());
    this.#inner.addEventListener("click", (e) => this.#click(e));
    this.element.addEventListener("pointerdown", () => this.#emit("use"));
    this.element.addEventListener("focusin", () => this.#emit("use"));
  }

  #label() {
    this.#download.textContent = this.selection ? "Download lines" : "Download";
  }

  #emit(name, detail) {
    this.dispatchEvent(new CustomEvent(name, { detail }));
  }

  // open shows an artifact, from its end, or with lines selected.
  async open(artifact, selection) {
    this.close();
    this.artifact = artifact;
    this.element.setAttribute("aria-label", artifact.path);
    this.#view.setAttribute("aria-label", `lines of ${artifact.path}`);
    if (this.#picker.tagName === "SELECT") this.#picker.value = artifact.index;
    const lines = new Lines(artifact.index);
    Object.assign(this, { lines, sections: new Sections([], 0), progress: undefined, limits: {}, level: "all", found: undefined, selection: undefined, asked: selection, extending: false });
    this.#before = this.#partner = this.#jumped = undefined;
    this.#label();
    this.#folds.clear();
    this.#opened.clear();
    this.#marks = [];
    this.#trouble = undefined;
    this.#waiting = [];
    this.#scanned = [];
    this.viewport.total = 0;
    this.viewport.hidden = new Hidden();
    this.viewport.redraw();
    this.#bar.mark({ error: [], warning: [], hit: [] });
    this.#view.setAttribute("aria-busy", "true");
    this.#tell("opening…");
    this.#note.textContent = bytes(artifact.size);
    this.#emit("open");
    lines.addEventListener("lines", ({ detail: { from, to } }) => {
      this.viewport.redraw(from, to);
      if (this.#untimed) this.#emit("place");
      this.#untimed = false;
    });
    lines.addEventListener("problem", (e) => this.#tell(e.detail, true));
    lines.addEventListener("total", ({ detail: { moved } }) => this.#counted(moved));
    try {
      await lines.open();
    } catch (e) {
      if (this.lines === lines) this.#tell(e.message, true);
      return;
    }
    if (this.lines !== lines) return; // another was opened meanwhile
    this.#view.setAttribute("aria-busy", "false");
    this.viewport.total = lines.total;
    this.#hide();
    this.viewport.show(lines.total, 1);
    this.#size();
    if (lines.trouble) this.#tell(lines.trouble, true);
    if (selection) this.whenCounted(() => this.select(selection.from, selection.to));
    if (artifact.size <= scanned) this.scan();
  }

  close() {
    this.lines?.close();
    this.#goes = undefined;
    this.#stop?.();
    this.#stop = undefined;
  }

  #tell(text, bad = false, ...controls) {
    this.#state.replaceChildren(text, ...controls);
    this.#state.hidden = !text;
    this.#state.classList.toggle("bad", bad);
    clearTimeout(this.#told);
    if (bad && this.lines?.total > 0) this.#told = setTimeout(() => { this.#state.hidden = true; }, 8000);
  }

  #size() {
    const { lines } = this;
    this.#note.replaceChildren(el("span", { className: "aside" }, `${bytes(lines.size)}, `), lines.counted ? count(lines.total, "line") : "counting its lines…");
    this.#view.style.setProperty("--digits", String(lines.total).length); // as wide as the numbers of lines are
    this.#view.setAttribute("aria-rowcount", lines.counted ? lines.total : -1);
  }

  #counted(moved) {
    const { lines, viewport } = this;
    if (this.selection) this.selection = { from: this.selection.from + moved, to: this.selection.to + moved };
    viewport.total = lines.total;
    this.#opened.clear();
    viewport.renumber(moved);
    this.#size();
    if (this.#marks.length > 0) this.#structure();
    for (const then of this.#waiting.splice(0)) then();
    this.#emit("select");
  }

  // whenCounted does something once lines have their numbers.
  whenCounted(then) {
    if (this.lines.counted) then();
    else {
      say("counting the lines first");
      this.#waiting.push(then);
    }
  }

  #draw(n) {
    const { hidden } = this.viewport, section = this.sections.at(n);
    const before = n > 1 && this.level !== "all" ? hidden.range(n - 1) : undefined;
    const line = this.lines.get(n), kind = this.sections.kind(n) ?? line?.kind;
    const drawn = row(n, line, {
      href: fragment(this.artifact, this.#only, { from: n, to: n }),
      section, folded: section && this.#folds.has(n) && this.level === "all",
      context: this.level !== "all" && !severe[this.level].includes(kind),
      gap: before ? before[1] - before[0] + 1 : 0,
      kind, hit: this.found?.at(n), current: this.found?.current === n,
      selected: this.selection && n >= this.selection.from && n <= this.selection.to,
      opened: this.#opened.get(n), counted: this.lines.counted,
    });
    drawn.classList.toggle("partner", this.#partner === n);
    drawn.classList.toggle("absent", !line);
    return drawn;
  }

  #click(e) {
    const item = e.target.closest(".item");
    if (!item) return;
    const n = Number(item.dataset.line), act = e.target.closest("button")?.dataset.act;
    if (e.target.closest("a.n")) {
      e.preventDefault();
      if ((e.shiftKey || this.extending) && this.selection) this.extend(n);
      else this.#select(n, n);
      this.#view.focus({ preventScroll: true });
    } else if (act === "fold") this.fold(n);
    else if (act === "gap") this.#reveal(n);
    else if (act === "more") this.#more(n);
    else if (act === "states" || act === "last") {
      const opened = { ...this.#opened.get(n), states: act === "states" };
      this.#opened.set(n, opened);
      this.viewport.redraw(n, n);
      if (opened.states && !opened.extra && this.lines.get(n)?.cut) this.#more(n);
    }
  }

  async #more(n) {
    const { lines } = this, line = lines.get(n), from = this.#opened.get(n)?.at ?? line.shown;
    if (!lines.counted) { // its number is not known, by which a piece is asked for
      say("counting the lines first");
      return;
    }
    try {
      const piece = await lines.piece(n, from, pieceSize);
      const opened = { ...this.#opened.get(n) };
      if ((opened.at ?? line.shown) !== from) return; // asked for twice
      opened.extra = [...opened.extra ?? [], piece.text];
      opened.at = piece.next;
      opened.full = opened.extra.length >= mostPieces && piece.next < piece.bytes;
      this.#opened.set(n, opened);
      this.viewport.redraw(n, n);
    } catch (e) {
      if (this.lines === lines) this.#tell(e.message, true);
    }
  }

  // --- selection

  #select(from, to) {
    this.selection = { from: Math.min(from, to), to: Math.max(from, to) };
    this.viewport.kept = this.#anchor === this.selection.to ? this.selection.from : this.selection.to;
    this.viewport.redraw();
    this.#emit("select");
    this.#emit("place");
  }

  // select selects lines and goes to the first of them.
  select(from, to = from) {
    const { total } = this.lines;
    if (from > total) {
      say(`there is no line ${number(from)}: the log has ${count(total, "line")}`);
      return;
    }
    this.#anchor = this.#jumped = from;
    this.#uncover(from);
    this.#select(from, Math.min(to, total));
    this.viewport.show(from, third, true);
  }

  // extend moves the other end of the selection.
  extend(n) {
    n = Math.max(1, Math.min(n, this.lines.total));
    const { from, to } = this.selection;
    if (this.#anchor === undefined || this.#anchor < from || this.#anchor > to) this.#anchor = from;
    this.#select(this.#anchor, n);
  }

  // grow extends it by a line that is shown, and keeps that in sight.
  grow(by) {
    const { viewport } = this, { hidden, top } = viewport;
    if (!this.selection || hidden.range(this.selection.from)) this.#select(top, top);
    const { from, to } = this.selection;
    const end = this.#anchor === to && from !== to ? from : to;
    const next = by < 0 ? hidden.previous(end - 1) : hidden.next(end + 1);
    if (next < 1 || next > this.lines.total) return;
    this.extend(next);
    if (next < viewport.first || next > viewport.last) viewport.show(next, by < 0 ? 0 : 1, true);
  }

  // covered is how many of the lines selected are folded or filtered away.
  get covered() {
    const { from, to } = this.selection, { hidden } = this.viewport;
    return to - from + 1 - (hidden.row(to + 1) - hidden.row(from));
  }

  unselect() {
    this.selection = undefined;
    this.viewport.kept = undefined;
    this.viewport.redraw();
    this.#emit("select");
    this.#emit("place");
  }

  // here is the line that steps begin from.
  get here() {
    const { viewport, selection } = this;
    return selection && viewport.sees(selection.from) ? selection.from : viewport.top;
  }

  // --- plays, tasks, groups

  // scan looks through the log for what its lines are; done is called once that is known.
  scan(done) {
    if (this.progress === "done") return done?.();
    if (done) this.#scanned.push(done);
    if (this.#stop) return undefined;
    const { lines } = this;
    let drawn = performance.now();
    this.progress = 0;
    this.#marks = []; // of one that was stopped
    this.#emit("sections");
    this.#stop = stream(address(`log/${this.artifact.index}/scan`), (batch, { end, problem }) => {
      for (const o of batch) {
        if (o.kind) this.#marks.push(o);
        else if (o.at) this.progress = o.at / Math.max(1, lines.size);
        else if (o.more) this.limits[o.more] = o.line;
        else if (o.error) problem = o.error;
      }
      this.#trouble ??= problem;
      if (end) {
        this.progress = "done";
        this.#stop = undefined;
      }
      if (!end && performance.now() - drawn < 1000) return;
      drawn = performance.now();
      if (lines.counted) this.#structure();
      else if (end) this.#hide(); // what can't be read can't be counted either
      this.#emit("sections");
      if (!end) return;
      if (this.#trouble && this.level === "all") this.#tell(this.#trouble, true);
      this.whenCounted(() => { for (const then of this.#scanned.splice(0)) then(); });
    });
    return undefined;
  }

  // awaited is whether somebody waits for the scan that goes on.
  get awaited() {
    return this.#stop !== undefined && (this.level !== "all" || this.#scanned.length > 0);
  }

  // stopScan ends it; what it has found stays, until it begins anew.
  stopScan() {
    this.#stop?.();
    this.#stop = undefined;
    this.#scanned = [];
    this.#stopped = this.progress;
    this.progress = undefined;
    this.#hide();
    this.#emit("sections");
    this.focus();
  }

  #structure() {
    const { total } = this.lines, { sections } = this.limits;
    this.sections = new Sections(this.#marks, total, sections ? sections - 1 : total);
    this.#bar.mark(this.sections.severity());
    this.#hide();
    this.#emit("sections");
  }

  #hide() {
    const { viewport, lines } = this;
    viewport.hidden = new Hidden(this.level === "all" ? this.sections.folded(this.#folds) : this.sections.filtered(this.level, lines.total));
    let state = "";
    const controls = [];
    if (lines.total === 0) state = "This log is empty.";
    else if (this.awaited) {
      state = `looking through the log: ${Math.round(this.progress * 100)} %`;
      controls.push(this.#halt);
    } else if (this.level === "all") state = "";
    else if (this.progress === undefined) state = `Stopped at ${Math.round((this.#stopped ?? 0) * 100)} %: what is beyond it is not shown.`;
    else if (this.progress === "done") {
      const what = this.level === "error" ? "errors" : "warnings or errors", limit = this.#limit(severe[this.level]);
      if (limit) state = `${what}: ${limit.why}`;
      else if (viewport.rows === 0) state = `No ${what} were found in this log.`;
    }
    this.#tell(state, false, ...controls);
    this.#bar.mark({});
    viewport.redraw();
  }

  // place is where one is: the line selected if it is in sight, or the first, and how
  // far down it is; or the end.
  #place() {
    const { viewport, selection, here: line } = this;
    return { line, offset: viewport.offset(line) ?? 0, end: line !== selection?.from && viewport.atEnd };
  }

  #return({ line, offset, end }) {
    if (end) this.viewport.show(this.viewport.total, 1);
    else this.viewport.put(line, offset);
    this.#emit("place");
  }

  // filter shows all, or what is at least a "warning" or an "error". Back among all,
  // one is where one was, unless one has moved meanwhile.
  filter(level) {
    this.viewport.flush(); // one may just have moved
    const place = this.#before ?? this.#place();
    this.level = level;
    this.#hide();
    this.#emit("sections");
    this.#return(place);
    this.#before = level === "all" ? undefined : place;
    if (level === "all" || this.progress === "done") return;
    this.scan(() => {
      this.#hide();
      if (this.#before) this.#return(place);
    });
    this.#hide(); // tells that it is looked for
  }

  #reveal(n) {
    const { hidden } = this.viewport, range = hidden.range(n - 1);
    this.viewport.hidden = new Hidden(hidden.ranges().filter(([from]) => from !== range[0]));
    this.viewport.redraw();
  }

  // fold folds or unfolds the section that begins on a line, or holds it.
  fold(n) {
    const section = this.sections.at(n) ?? this.sections.around(n);
    if (!section || section.end === section.line) return;
    const place = this.#place();
    if (!this.#folds.delete(section.line)) this.#folds.add(section.line);
    this.#hide();
    this.#return(place);
  }

  foldAll() {
    this.scan(() => {
      const place = this.#place(), folded = this.#folds.size > 0;
      this.#folds = new Set(folded ? [] : this.sections.foldable());
      if (folded) say("all unfolded");
      else say(this.#folds.size > 0 ? `${number(this.#folds.size)} folded` : "nothing to fold");
      this.#hide();
      this.#return(place);
    });
  }

  // limit is why lines of some kinds may be missing, and from which line on;
  // undefined if all of them are known.
  #limit(kinds) {
    if (this.#trouble) return { line: Infinity, why: `not all of the log could be looked through: ${this.#trouble}` };
    const lines = Object.keys(this.limits).filter((sort) => sorts[sort].some((kind) => kinds.includes(kind))).map((sort) => this.limits[sort]);
    if (lines.length === 0) return undefined;
    const line = Math.min(...lines);
    return { line, why: `there are too many to list: they are known up to line ${number(line - 1)}` };
  }

  // uncover unfolds what hides a line.
  #uncover(n) {
    if (!this.viewport.hidden.range(n)) return;
    if (this.level !== "all") {
      this.level = "all";
      this.#emit("sections");
    }
    for (const s of this.sections.list) {
      if (s.line > n) break;
      if (s.line < n && s.end >= n) this.#folds.delete(s.line);
    }
    this.#hide();
  }

  // step goes to the next or last line before of some kinds.
  step(kinds, what, back) {
    this.scan(() => {
      const { here, sections, selection, lines } = this, limit = this.#limit(kinds);
      let line = sections.step(kinds, here, back);
      const unsure = limit && (back ? limit.line <= here : !line), around = !line && !limit;
      if (around) line = sections.step(kinds, back ? lines.total + 1 : 0, back);
      if (line) this.select(line);
      if (unsure) say(`${what}: ${limit.why}`);
      else if (!line) say(`no ${what} ${limit ? "before this line" : "in this log"}`);
      else if (around) say(line === selection?.from ? `this is the only ${what}` : `from the ${back ? "end" : "top"} again`);
    });
  }

  // --- what a search found

  // toMark brings what was found on the line gone to into sight: it may be far to
  // the right, or far down where lines are wrapped.
  toMark() {
    this.#toMark = true;
  }

  #showMark() {
    const mark = this.#toMark && this.#inner.querySelector("mark.current");
    if (!mark) return;
    this.#toMark = false;
    const box = this.#view.getBoundingClientRect(), at = mark.getBoundingClientRect();
    const left = box.left + mark.closest(".row").firstElementChild.offsetWidth;
    if (at.left < left || at.right > box.right) this.#view.scrollLeft += at.left - left - third * (box.right - left);
    if (at.top < box.top || at.bottom > box.bottom) this.viewport.scroll(at.top - box.top - third * box.height);
  }

  // announce reads the line gone to out to those who don't see it.
  #announce() {
    const text = this.#inner.querySelector(`[data-line="${this.#jumped}"]:not(.absent) .text`)?.textContent;
    if (text === undefined) return;
    hear(`line ${number(this.#jumped)}: ${text.slice(0, 200)}`);
    this.#jumped = undefined;
  }

  hits(found) {
    this.found = found;
    this.#bar.mark({ hit: found?.lines ?? [] });
    this.viewport.redraw();
  }

  // --- by time

  // timed is the line that tells the time here, with its offset in the window: the
  // one selected, if it is in sight, or the first; or the next that has a time. It is
  // null if the lines have yet to come, and told of by "place" when they have.
  get timed() {
    const { viewport } = this;
    for (let n = this.here; n <= viewport.last; n = viewport.hidden.next(n + 1)) {
      const line = this.lines?.get(n);
      if (line?.time) return { time: line.time, offset: viewport.offset(n) };
      if (!line) {
        this.#untimed = true;
        return null;
      }
    }
    return undefined;
  }

  // goToTime puts the first line of that time at an offset, and marks it.
  async goToTime(time, offset) {
    const { lines, viewport } = this, control = new AbortController();
    // To look for a time may be to read the whole log: not for who has moved on.
    this.#goes?.abort();
    this.#goes = control;
    let line;
    try {
      ({ line } = await lines.ask("/at", { time }, control.signal));
    } catch (e) {
      if (this.lines !== lines || this.#goes !== control) return;
      throw e;
    }
    if (this.lines !== lines || this.#goes !== control || !lines.counted) return;
    if (line) viewport.put(line, offset);
    else viewport.show(lines.total, 1);
    this.mark(line);
  }

  // mark marks a line as the other pane's partner; undefined is none.
  mark(line) {
    const { hidden } = this.viewport, before = this.#partner;
    this.#partner = line && hidden.range(line) ? hidden.previous(line) || hidden.next(line) : line;
    for (const n of [before, this.#partner]) if (n) this.viewport.redraw(n, n);
  }

  focus() {
    this.#view.focus({ preventScroll: true });
  }

  get wrapped() { return this.element.classList.contains("wrap"); }

  wrap(on) {
    if (on === this.wrapped) return;
    this.element.classList.toggle("wrap", on);
    this.viewport.refresh();
  }
}

