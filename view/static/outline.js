// The panel that lists plays, tasks and groups, those with failures marked. It
// draws as many of them as can be seen.
import { el, by, bytes, count, number } from "./dom.js";

const height = 28; // pixels of an entry; view.css says the same

export class Outline {
  #pane;
  #at;
  #list = [];
  #scroll = by("entries");
  #inner = el("div", { className: "all" });
  #only = by("failed-only");
  #state = by("outline-state");
  #chosen;
  #look = el("button", { type: "button", on: { click: () => this.#pane.scan() } });

  // chosen is called when somebody has gone to an entry.
  constructor(chosen) {
    this.#chosen = chosen;
    this.#scroll.append(this.#inner);
    this.#scroll.addEventListener("scroll", () => this.#draw());
    this.#scroll.addEventListener("keydown", (e) => this.#key(e));
    this.#inner.addEventListener("click", (e) => {
      const line = e.target.closest("button")?.dataset.line;
      if (!line) return;
      this.#pane.select(Number(line));
      this.#chosen();
    });
    this.#only.addEventListener("change", () => this.show(this.#pane));
    new ResizeObserver(() => this.#draw()).observe(this.#scroll);
  }

  // show lists what a pane has.
  show(pane) {
    this.#pane = pane;
    const { list } = pane.sections;
    this.#list = this.#only.checked ? list.filter((s) => s.failed) : list;
    const failed = list.filter((s) => s.failed && s.kind !== "play").length;
    const said = [];
    if (pane.progress === undefined) said.push("Not looked for yet: this log is long.");
    else if (pane.progress !== "done") said.push(`looking through the log: ${Math.round(pane.progress * 100)} %`);
    else if (list.length === 0) said.push("No plays, tasks or groups in this log.");
    else said.push(`${number(list.length)} in all${failed ? `, ${number(failed)} with errors` : ""}${pane.limits.sections ? "; there are more" : ""}`);
    this.#state.replaceChildren(...said);
    if (pane.progress === undefined && pane.artifact) {
      this.#look.textContent = `Look through all ${bytes(pane.artifact.size)}`;
      this.#state.append(this.#look);
    }
    this.#inner.style.setProperty("height", `${this.#list.length * height}px`);
    this.#draw();
  }

  // follow marks the entry that the pane is at, and brings it into sight.
  follow() {
    const at = this.#pane?.sections.around(this.#pane.here), i = this.#list.indexOf(at), scroll = this.#scroll;
    if (at !== this.#at && i >= 0 && (i * height < scroll.scrollTop || (i + 1) * height > scroll.scrollTop + scroll.clientHeight)) {
      scroll.scrollTop = i * height - scroll.clientHeight / 2;
    }
    this.#at = at;
    this.#draw();
  }

  #draw() {
    if (!this.#pane || this.#scroll.clientHeight === 0) return;
    const first = Math.max(0, Math.floor(this.#scroll.scrollTop / height) - 5);
    const entries = this.#list.slice(first, first + Math.ceil(this.#scroll.clientHeight / height) + 10);
    const at = this.#pane.sections.around(this.#pane.here);
    const focused = this.#inner.contains(document.activeElement) ? document.activeElement.dataset.line : undefined;
    this.#inner.replaceChildren(...entries.map((s, i) => this.#entry(s, first + i, s === at)));
    if (focused) this.#inner.querySelector(`[data-line="${focused}"]`)?.focus({ preventScroll: true });
  }

  #entry(s, i, here) {
    const button = el("button", { type: "button", className: `entry ${s.kind}${s.failed ? " failed" : ""}`, title: s.name, tabIndex: -1 },
      el("span", { className: "name" }, s.name),
      s.failed ? el("span", { className: "errors", "aria-label": count(s.failed, "error") }, number(s.failed)) : null);
    button.dataset.line = s.line;
    button.style.setProperty("top", `${i * height}px`);
    button.style.setProperty("padding-left", `${12 + 12 * Math.min(s.depth, 8)}px`);
    if (here) button.setAttribute("aria-current", "location");
    return button;
  }

  // The list is one stop of the Tab key; arrows go from entry to entry.
  #key(e) {
    const step = { ArrowDown: 1, ArrowUp: -1 }[e.key];
    if (!step || this.#list.length === 0) return;
    e.preventDefault();
    e.stopPropagation();
    const line = Number(document.activeElement.dataset.line);
    let i = line ? this.#list.findIndex((s) => s.line === line) + step : Math.ceil(this.#scroll.scrollTop / height);
    i = Math.max(0, Math.min(i, this.#list.length - 1));
    const top = i * height;
    if (top < this.#scroll.scrollTop) this.#scroll.scrollTop = top;
    else if (top + height > this.#scroll.scrollTop + this.#scroll.clientHeight) this.#scroll.scrollTop = top + height - this.#scroll.clientHeight;
    this.#draw();
    this.#inner.querySelector(`[data-line="${this.#list[i].line}"]`)?.focus({ preventScroll: true });
  }
}
