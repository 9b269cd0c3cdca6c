// Plays, tasks, groups and headings of a log, made of the marks that a scan finds: what the
// outline lists, what can be folded, and where the errors are.
const opening = new Set(["play", "task", "group", "heading", "recap"]);
export const severe = { error: ["failed", "error"], warning: ["failed", "error", "warning"] };
const context = 2; // lines shown around those that a filter is for

export class Sections {
  list = []; // {line, end, depth, kind, name, failed, warned}, by line
  #marks;
  #at = new Map();

  // total is the number of lines of the log, or of what is known of it; known is
  // the last line whose section is told.
  constructor(marks, total, known = total) {
    this.#marks = marks;
    const ends = marks.some((m) => m.kind === "endgroup"); // then groups may hold groups
    let open = [], recap = false;
    const close = (end, keep) => {
      while (open.length > 0 && !keep(open.at(-1))) open.pop().end = end;
    };
    const closed = (s) => s.kind === "group" && ends; // only by a mark of its own
    for (const { line, kind, name } of marks) {
      if (line > known) close(known, () => false);
      if (kind === "recap" && recap) continue;
      recap = kind === "recap" || (recap && !opening.has(kind));
      if (kind === "failed" || kind === "error") for (const s of open) s.failed++;
      else if (kind === "warning") for (const s of open) s.warned++;
      else if (kind === "endgroup") {
        const at = open.findLastIndex((s) => s.kind === "group");
        if (at >= 0) for (const s of open.splice(at)) s.end = s.kind === "group" ? line : line - 1;
      } else if (opening.has(kind)) {
        if (kind === "group") close(line - 1, (s) => s.kind !== "group" || ends);
        else if (kind === "heading") close(line - 1, (s) => s.kind !== "heading" && (s.kind !== "group" || ends));
        else if (kind === "task") close(line - 1, (s) => s.kind === "play" || closed(s));
        else close(line - 1, closed);
        const section = { line, end: total, depth: open.length, kind, name: kind === "recap" ? "Recap" : name || kind, failed: 0, warned: 0 };
        open.push(section);
        this.list.push(section);
        this.#at.set(line, section);
      }
    }
    close(known, () => false);
  }

  // kind is what a line is, as far as it was told; an ignored failure is a warning.
  kind(line) {
    const mark = this.#marks[this.#last(this.#marks, line)];
    return mark?.line === line ? mark.kind : undefined;
  }

  // at is the section that begins on a line; around the innermost that holds it.
  at(line) {
    return this.#at.get(line);
  }

  around(line) {
    for (let i = this.#last(this.list, line); i >= 0; i--) {
      if (this.list[i].end >= line) return this.list[i];
      if (this.list[i].depth === 0) return undefined;
    }
    return undefined;
  }

  // folded are the lines that folds hide; the first of each stays.
  folded(lines) {
    return this.list.filter((s) => lines.has(s.line)).map((s) => [s.line + 1, s.end]);
  }

  // foldable are the lines whose sections "fold all" folds.
  foldable() {
    return this.list.filter((s) => s.kind !== "play" && s.end > s.line).map((s) => s.line);
  }

  // filtered are the lines that a filter ("error" or "warning") hides.
  filtered(level, total) {
    const ranges = [];
    let shown = 0;
    for (const { line, kind } of this.#marks) {
      if (!severe[level].includes(kind)) continue;
      ranges.push([shown + 1, line - context - 1]);
      shown = Math.max(shown, line + context);
    }
    ranges.push([shown + 1, total]);
    return ranges;
  }

  // step is the nearest line of one of these kinds after (or before) a line.
  step(kinds, line, back) {
    let i = this.#last(this.#marks, back ? line - 1 : line);
    if (!back) i++;
    while (this.#marks[i] && !kinds.includes(this.#marks[i].kind)) i += back ? -1 : 1;
    return this.#marks[i]?.line;
  }

  // severity are the lines of errors and of warnings, for the bar beside the log.
  severity() {
    return {
      error: this.#marks.filter((m) => severe.error.includes(m.kind)).map((m) => m.line),
      warning: this.#marks.filter((m) => m.kind === "warning").map((m) => m.line),
    };
  }

  #last(list, line) {
    let low = 0, high = list.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (list[middle].line <= line) low = middle + 1;
      else high = middle;
    }
    return low - 1;
  }
}
