// The bar beside a log: where one is in all of it, and where the errors and what
// was found are. Dragging it is coarse where a pixel stands for many lines.
import { el } from "./dom.js";

export class Scrollbar {
  element;
  #thumb;
  #canvas;
  #viewport;
  #marks = {};

  constructor(viewport, controls) {
    this.#viewport = viewport;
    this.#thumb = el("div", { className: "thumb" });
    this.#canvas = el("canvas", { "aria-hidden": "true" });
    this.element = el("div", {
      className: "bar", role: "scrollbar", "aria-orientation": "vertical", "aria-controls": controls, "aria-valuemin": 1, "aria-valuemax": 1, "aria-valuenow": 1, "aria-label": "place in the log",
    }, this.#canvas, this.#thumb);
    let grip;
    this.element.addEventListener("pointerdown", (e) => {
      e.preventDefault();
      this.element.setPointerCapture(e.pointerId);
      const box = this.#thumb.getBoundingClientRect();
      grip = e.clientY >= box.top && e.clientY <= box.bottom ? e.clientY - box.top : box.height / 2;
      this.#drag(e.clientY - grip);
    });
    this.element.addEventListener("pointermove", (e) => { if (grip !== undefined) this.#drag(e.clientY - grip); });
    for (const name of ["pointerup", "pointercancel"]) this.element.addEventListener(name, () => { grip = undefined; });
    viewport.addEventListener("move", () => this.#place());
    new ResizeObserver(() => this.#paint()).observe(this.element);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.#paint());
  }

  // mark sets what is marked: lists of lines by "error", "warning", "hit".
  mark(marks) {
    Object.assign(this.#marks, marks);
    this.#paint();
  }

  #drag(y) {
    const { rows, hidden } = this.#viewport;
    const box = this.element.getBoundingClientRect();
    const part = (y - box.top) / Math.max(1, box.height - this.#thumb.offsetHeight);
    const seen = this.#viewport.last - this.#viewport.first;
    if (part >= 1) this.#viewport.show(this.#viewport.total, 1, true);
    else this.#viewport.show(hidden.line(Math.max(0, Math.floor(part * Math.max(0, rows - seen)))), 0, true);
  }

  #place() {
    const { rows, hidden, first, last, total } = this.#viewport;
    const from = hidden.row(first), seen = hidden.row(last) - from + 1;
    const height = this.element.clientHeight;
    const thumb = Math.max(24, Math.min(height, (height * seen) / Math.max(1, rows)));
    const top = rows > seen ? ((height - thumb) * from) / (rows - seen) : 0;
    this.#thumb.style.setProperty("height", `${thumb}px`);
    this.#thumb.style.setProperty("transform", `translateY(${Math.min(top, height - thumb)}px)`);
    this.#thumb.hidden = rows <= seen;
    this.element.setAttribute("aria-valuenow", first);
    this.element.setAttribute("aria-valuemax", Math.max(1, total));
  }

  #paint() {
    const { clientWidth: width, clientHeight: height } = this.element;
    const { rows, hidden } = this.#viewport;
    this.#canvas.width = width;
    this.#canvas.height = height;
    const context = this.#canvas.getContext("2d"), style = getComputedStyle(this.element);
    for (const [name, property] of [["warning", "--lost"], ["error", "--bad"], ["hit", "--hit"]]) {
      context.fillStyle = style.getPropertyValue(property);
      let before = -3;
      for (const line of this.#marks[name] ?? []) {
        const y = Math.floor((hidden.row(line) / Math.max(1, rows)) * (height - 2));
        if (y < before + 2) continue;
        context.fillRect(name === "hit" ? width / 2 : 2, y, width / 2 - 2, 2);
        before = y;
      }
    }
    this.#place();
  }
}
