// One log, or two beside each other, which then go by time: where one goes the
// other follows, with the line of the same time at the same height.
import { by, say } from "./dom.js";
import { Pane } from "./pane.js";

const narrow = 720; // pixels of a pane where lines are wrapped, unless somebody has said otherwise
const settle = 120; // milliseconds after a move until the other pane follows

// Panes tells of the pane in use by what Pane tells, and by "use" if it is another.
export class Panes extends EventTarget {
  current;
  #artifacts;
  #list = [];
  #timer;
  #wrap; // what somebody has said

  constructor(artifacts) {
    super();
    this.#artifacts = artifacts;
    this.current = this.#add();
    by("side").hidden = artifacts.length < 2;
  }

  get beside() { return this.#list.length > 1; }

  #add() {
    const pane = new Pane(this.#artifacts, `pane-${this.#list.length + 1}`);
    this.#list.push(pane);
    by("panes").append(pane.element);
    new ResizeObserver(() => this.#fit()).observe(pane.element);
    pane.addEventListener("use", () => this.#use(pane));
    pane.addEventListener("move", ({ detail }) => { if (detail.user) this.#lead(pane); });
    pane.addEventListener("place", () => this.#lead(pane));
    for (const name of ["move", "select", "sections", "open", "download"]) {
      pane.addEventListener(name, ({ detail }) => { if (pane === this.current) this.dispatchEvent(new CustomEvent(name, { detail })); });
    }
    return pane;
  }

  #use(pane) {
    if (this.current === pane) return;
    this.current.element.classList.remove("current");
    this.current = pane;
    pane.element.classList.add("current");
    this.dispatchEvent(new Event("use"));
  }

  // side opens another log beside the first, or closes it again.
  side() {
    if (this.#artifacts.length < 2) return;
    by("panes").classList.toggle("two", !this.beside);
    by("side").setAttribute("aria-pressed", String(!this.beside));
    if (this.beside) {
      const pane = this.#list.pop();
      this.#use(this.#list[0]);
      this.#list[0].element.classList.remove("current");
      pane.close();
      pane.element.remove();
      this.#list[0].mark(undefined);
      return;
    }
    const [first] = this.#list, other = this.#add();
    first.element.classList.add("current");
    other.open(this.#artifacts[(first.artifact.index + 1) % this.#artifacts.length]).then(() => other.whenCounted(() => this.#follow(first)));
  }

  // other puts the next log, or the one before, into the pane in use.
  other(step) {
    const { length } = this.#artifacts;
    if (length > 1) this.current.open(this.#artifacts[(this.current.artifact.index + step + length) % length]);
  }

  wrap() {
    this.#wrap = !this.current.wrapped;
    this.#fit();
  }

  // fit wraps lines where there is little room for them.
  #fit() {
    for (const pane of this.#list) {
      const { clientWidth: width } = pane.element;
      if (width > 0) pane.wrap(this.#wrap ?? width <= narrow);
    }
    by("wrap").setAttribute("aria-pressed", String(this.current.wrapped));
  }

  #lead(pane) {
    if (!this.beside) return;
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#follow(pane), settle);
  }

  async #follow(pane) {
    const other = this.#list.find((p) => p !== pane);
    if (!other) return;
    const place = pane.timed;
    pane.mark(undefined);
    other.mark(undefined);
    if (!place) {
      if (place === undefined) say("no line in sight says when it was written");
      return;
    }
    try {
      await other.goToTime(place.time, place.offset);
    } catch (e) {
      say(e.message);
    }
  }
}
