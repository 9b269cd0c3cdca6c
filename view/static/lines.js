// The lines of a log that are near to where somebody looks. They come by the
// chunk, and those not looked at for longest are forgotten.
import { address, ask } from "./api.js";

const chunk = 200, kept = 25, lastCount = 400;
const retry = 2000; // milliseconds until a chunk that could not be had is asked for again

// Lines tells by events what becomes of it: "lines" ({from, to} have come),
// "total" ({moved}: by how much numbers moved), "problem" (a message).
export class Lines extends EventTarget {
  // counted is false while only the last lines are known, numbered from 1.
  total = 0;
  size = 0;
  counted = false;
  trouble; // why what came last is not all that was asked for
  #index;
  #chunks = new Map(); // in the order of use
  #asked = new Map();
  #failed = new Map();
  #closed = new AbortController();

  constructor(index) {
    super();
    this.#index = index;
  }

  async open() {
    const info = await this.ask();
    this.size = info.size;
    const last = await this.ask("/last", { count: lastCount });
    this.trouble = last.error;
    if (last.error && last.lines.length === 0) throw new Error(last.error);
    if (info.lines === null && last.from === null && last.lines.length > 0) {
      this.total = last.lines.length;
      this.#chunks.set(0, last.lines);
      this.#count();
      return;
    }
    this.counted = true;
    this.total = info.lines ?? (last.from ?? 1) - 1 + last.lines.length;
  }

  close() {
    this.#closed.abort();
  }

  ask(what = "", params = {}, signal = this.#closed.signal) {
    return ask(address(`log/${this.#index}${what}`, params), AbortSignal.any([signal, this.#closed.signal]));
  }

  async #count() {
    try {
      for (let wait = 200; ; wait = Math.min(2 * wait, 2000)) {
        const { lines } = await this.ask();
        if (lines !== null) {
          const moved = lines - this.total;
          this.total = lines;
          this.counted = true;
          this.#chunks.clear();
          this.#emit("total", { moved });
          return;
        }
        await new Promise((done) => { setTimeout(done, wait); });
      }
    } catch (e) {
      this.#problem(e);
    }
  }

  // get is line n if it is here; want brings it.
  get(n) {
    if (!this.counted) return this.#chunks.get(0)?.[n - 1];
    const at = Math.floor((n - 1) / chunk);
    return this.#chunks.get(at)?.[n - 1 - at * chunk];
  }

  // want has these lines brought, and stops bringing others.
  want(list) {
    if (!this.counted) return;
    const wanted = new Set();
    for (const n of list) wanted.add(Math.floor((n - 1) / chunk));
    for (const [at, control] of this.#asked) if (!wanted.has(at)) control.abort();
    for (const at of wanted) {
      const here = this.#chunks.get(at);
      if (here) {
        this.#chunks.delete(at);
        this.#chunks.set(at, here);
      }
      if ((!here || this.#failed.has(at)) && !this.#asked.has(at) && !(this.#failed.get(at) > Date.now() - retry)) {
        this.#fetch(at);
      }
    }
    for (const at of this.#chunks.keys()) {
      if (this.#chunks.size <= kept) break;
      if (!wanted.has(at)) this.#chunks.delete(at);
    }
  }

  async #fetch(at) {
    const control = new AbortController(), from = at * chunk + 1;
    this.#asked.set(at, control);
    try {
      const { lines, error } = await this.ask("/lines", { from, count: chunk }, control.signal);
      this.#chunks.set(at, lines);
      this.#failed.delete(at);
      if (error) { // behind the lines that could be read
        this.#failed.set(at, Date.now());
        this.#problem(new Error(error));
      }
      this.#emit("lines", { from, to: from + lines.length - 1 });
      lines.forEach((line, i) => { if (line.cut && line.text.includes("\r")) this.#settle(line, from + i); });
    } catch (e) {
      if (!control.signal.aborted) {
        this.#failed.set(at, Date.now());
        this.#problem(e);
      }
    } finally {
      if (this.#asked.get(at) === control) this.#asked.delete(at);
    }
  }

  // settle fetches the end of a long line that went back to its beginning again
  // and again: what stayed is there.
  async #settle(line, n) {
    try {
      const piece = await this.piece(n, Math.max(0, line.bytes - 2048), 2048);
      line.end = piece.text;
      this.#emit("lines", { from: n, to: n });
    } catch (e) {
      this.#problem(e);
    }
  }

  // piece is a part of a long line, by bytes.
  piece(n, off, count) {
    return this.ask("/line", { n, off, count });
  }

  #emit(name, detail) {
    this.dispatchEvent(new CustomEvent(name, { detail }));
  }

  #problem(e) {
    if (!this.#closed.signal.aborted) this.#emit("problem", e.message);
  }
}
