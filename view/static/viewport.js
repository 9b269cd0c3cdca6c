// A window on rows of any height and any number. The browser never knows how long
// the log is: some rows around what is looked at are laid out, and the place is a
// line and a distance from it. So moving is exact to the pixel however long the log is,
// and no height is bounded.
const unit = matchMedia("(pointer: coarse)").matches ? 24 : 20; // pixels of a line that is not wrapped; view.css says the same
const far = 1e9;

// Viewport tells by "move" that something else is to be seen, with {user: true} if
// it was the reader who moved.
export class Viewport extends EventTarget {
  first = 1; // the first and last line to be seen
  last = 1;
  hidden; // whoever sets it or total calls refresh
  total = 0;
  kept; // a line that stays in sight when the window gets lower
  #element;
  #inner;
  #draw;
  #want;
  #items = new Map();
  #stale = new Set(); // lines to be drawn anew
  #at = { line: 1, px: 0 }; // px of the window's top below the top of the line
  #y = 0;
  #top; // of the window, on the screen
  #frame = 0;
  #end = false; // the last line is at the bottom
  #stuck = false; // there was nothing more to move to
  #user = false;

  // draw makes the element of a line, want is told which lines are laid out.
  constructor(element, inner, { draw, want, hidden }) {
    super();
    this.#element = element;
    this.#inner = inner;
    this.#draw = draw;
    this.#want = want;
    this.hidden = hidden;
    element.addEventListener("wheel", (e) => this.#wheel(e), { passive: false });
    // A control that gets the focus is brought into sight by the browser; for us
    // that is a move like any other.
    element.addEventListener("scroll", () => {
      const dy = element.scrollTop;
      if (dy === 0) return;
      element.scrollTop = 0;
      this.scroll(dy);
    });
    this.#touch();
    new ResizeObserver(() => this.#resize()).observe(element);
  }

  // resize keeps the end at the end, and in sight what is kept. Where the window's top
  // has moved, since something above it was folded, lines stay where they are.
  #resize() {
    const seen = this.kept && this.sees(this.kept), { top } = this.#element.getBoundingClientRect(), moved = top - this.#top;
    this.#top = top;
    if (this.#end) this.show(this.total, 1);
    else if (this.#y > 0) this.#shift(moved);
    this.#layout();
    const item = seen && this.#items.get(this.kept);
    if (item) this.#shift(Math.min(Math.max(0, item.offsetTop + item.offsetHeight - this.#y - this.height), item.offsetTop - this.#y));
    this.refresh();
  }

  // shift moves by pixels, and holds on to the line that was gone to: those above it
  // may have yet to get their height.
  #shift(px) {
    if (!px) return;
    const place = this.#settle();
    if (this.#stuck) this.#at = place;
    this.#at.px += px;
  }

  get rows() { return this.hidden.row(this.total + 1); }
  get height() { return this.#element.clientHeight; }

  // show puts a line into the window, part of its height down; a part of 1 is its bottom.
  show(line, part = 0, user = false) {
    line = Math.min(Math.max(1, line), this.total);
    if (this.hidden.range(line)) line = this.hidden.previous(line) || this.hidden.next(line);
    this.#at = { line, px: part === 1 ? far : -Math.round(this.height * part) };
    if (part === 1 && line < this.total) this.#at.px = unit - this.height;
    this.#user ||= user;
    this.refresh();
  }

  // top is the first line whose beginning is in sight, if there is one.
  get top() {
    const next = this.offset(this.first) < 0 ? this.hidden.next(this.first + 1) : this.first;
    return next <= this.last ? next : this.first;
  }

  // offset is how far below the top of the window a line is; undefined if it is not
  // laid out.
  offset(line) {
    this.flush();
    const item = this.#items.get(line);
    return item && item.offsetTop - this.#y;
  }

  // put is the reverse: it puts a line so far below the top, if it is shown.
  put(line, offset) {
    this.show(line);
    this.#at.px = -offset;
  }

  // sees says whether a line is in sight.
  sees(line) {
    return line >= this.first && line <= this.last && !this.hidden.range(line);
  }

  // atEnd is whether the last line is in sight and lines before it are not.
  get atEnd() {
    this.flush();
    return this.#end;
  }

  // scroll moves by pixels, as the reader does.
  scroll(dy) {
    this.#user = true;
    const step = Math.max(unit, this.height);
    while (dy !== 0) {
      const part = Math.max(-step, Math.min(step, dy));
      dy -= part;
      const top = this.#settle();
      this.#at = { line: top.line, px: top.px + part };
      this.#layout();
      if (this.#stuck) break; // at an end
    }
    this.refresh();
  }

  // page moves by windows, line by rows: exact to the row.
  page(n) {
    this.scroll(n * Math.max(unit, this.height - 2 * unit));
  }

  line(n) {
    const top = this.#settle();
    let { line } = top;
    if (n < 0 && top.px > 0) n++;
    for (; n > 0; n--) line = Math.min(this.hidden.next(line + 1), this.total);
    for (; n < 0 && line > 1; n++) line = this.hidden.previous(line - 1) || line;
    this.show(line, 0, true);
  }

  // redraw draws lines anew, or all.
  redraw(from = 1, to = Infinity) {
    for (const line of this.#items.keys()) if (line >= from && line <= to) this.#stale.add(line);
    this.refresh();
  }

  // renumber moves the window with the lines when their numbers change.
  renumber(by) {
    this.#at.line += by;
    this.redraw();
  }

  // refresh lays out anew before the next picture.
  refresh() {
    this.#frame ||= requestAnimationFrame(() => {
      this.#frame = 0;
      this.#layout();
      this.#tell();
    });
  }

  // flush does at once what would be done before the next picture.
  flush() {
    if (!this.#frame) return;
    cancelAnimationFrame(this.#frame);
    this.#frame = 0;
    this.#layout();
    this.#tell();
  }

  #tell() {
    const user = this.#user;
    this.#user = false;
    this.dispatchEvent(new CustomEvent("move", { detail: { user } }));
  }

  #list(rows) {
    const list = [];
    let line = this.hidden.range(this.#at.line) ? this.hidden.next(this.#at.line) : this.#at.line;
    if (line > this.total) line = this.hidden.previous(this.total);
    if (line < 1) return list;
    this.#at.line = line;
    for (let i = 0, at = line; i < rows && (at = this.hidden.previous(at - 1)) >= 1; i++) list.push(at);
    list.reverse();
    for (let i = 0, at = line; i < 2 * rows && at <= this.total; i++, at = this.hidden.next(at + 1)) list.push(at);
    return list;
  }

  #layout() {
    const { height } = this;
    const list = height > 0 ? this.#list(Math.ceil(height / unit) + 2) : [];
    this.#want(list);
    const wanted = new Set(list);
    for (const [line, item] of this.#items) {
      if (wanted.has(line)) continue;
      item.remove();
      this.#items.delete(line);
    }
    // Replaced, not removed before: without a long line, the way to the right is lost.
    for (const line of this.#stale) {
      const item = this.#items.get(line);
      if (!item) continue;
      const drawn = this.#draw(line);
      item.replaceWith(drawn);
      this.#items.set(line, drawn);
    }
    this.#stale.clear();
    let next = this.#inner.firstElementChild;
    for (const line of list) {
      let item = this.#items.get(line);
      if (!item) {
        item = this.#draw(line);
        this.#items.set(line, item);
        this.#inner.insertBefore(item, next);
      } else {
        if (item !== next) this.#inner.insertBefore(item, next);
        next = item.nextElementSibling;
      }
    }
    if (list.length === 0) return;
    const wish = this.#items.get(this.#at.line).offsetTop + this.#at.px;
    let y = wish;
    const end = this.#items.get(list.at(-1));
    const most = end.offsetTop + end.offsetHeight - height, last = this.hidden.next(list.at(-1) + 1) > this.total;
    if (last) y = Math.min(y, most);
    y = Math.max(y, 0);
    this.#end = last && y > 0 && y >= most;
    this.#stuck = y !== wish;
    this.#y = y;
    this.#inner.style.setProperty("transform", `translateY(${-y}px)`);
    this.first = this.#find(list, y);
    this.last = this.#find(list, y + height - 1);
  }

  #find(list, y) {
    let low = 0, high = list.length - 1;
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if (this.#items.get(list[middle]).offsetTop <= y) low = middle;
      else high = middle - 1;
    }
    return list[low];
  }

  // settle is the place as it is, whatever was asked for.
  #settle() {
    if (this.#frame) this.#layout();
    const item = this.#items.get(this.first);
    return { line: this.first, px: item ? this.#y - item.offsetTop : 0 };
  }

  #wheel(e) {
    if (e.ctrlKey || Math.abs(e.deltaX) > Math.abs(e.deltaY) || e.shiftKey) return;
    e.preventDefault();
    this.scroll(e.deltaY * [1, unit, this.height][e.deltaMode]);
  }

  // A finger moves the log with it, and leaves it in motion.
  #touch() {
    const still = matchMedia("(prefers-reduced-motion: reduce)");
    let last, speed = 0, moving = 0;
    this.#element.addEventListener("pointerdown", (e) => {
      cancelAnimationFrame(moving);
      if (e.pointerType === "touch") last = { y: e.clientY, time: e.timeStamp };
    });
    this.#element.addEventListener("pointermove", (e) => {
      if (!last || e.pointerType !== "touch") return;
      const dy = last.y - e.clientY;
      speed = dy / Math.max(1, e.timeStamp - last.time);
      last = { y: e.clientY, time: e.timeStamp };
      if (dy !== 0) this.scroll(dy);
    });
    const end = () => {
      if (!last) return;
      last = undefined;
      let time = performance.now();
      const glide = (now) => {
        const passed = now - time;
        time = now;
        speed *= 0.997 ** passed;
        if (Math.abs(speed) < 0.05) return;
        this.scroll(speed * passed);
        moving = requestAnimationFrame(glide);
      };
      if (!still.matches) moving = requestAnimationFrame(glide);
    };
    this.#element.addEventListener("pointerup", end);
    this.#element.addEventListener("pointercancel", () => { last = undefined; });
  }
}
