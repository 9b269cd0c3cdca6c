// Draws a line.
import { el, bytes, count } from "./dom.js";
import { tokens, states } from "./ansi.js";

// row draws line n. With it come: its address, its section and whether that is folded, the
// number of lines hidden before it, what kind it is, whether it is only near one that is filtered for, what was found in it, whether
// it is selected, and what of it is opened: {extra: pieces of a long line that
// follow its text, at: bytes shown, states: whether all of them are shown}.
export function row(n, line, { href, section, folded, gap, kind, context, hit, current, selected, opened, counted }) {
  const number_ = el("a", { className: "n", href, tabIndex: -1 }, counted ? String(n) : "·");
  const head = el("div", { className: "gutter", role: "rowheader" }, number_);
  const text = el("div", { className: "text", role: "cell", dir: "ltr" });
  const drawn = el("div", { className: "row", role: "row", "aria-rowindex": n }, head, text);
  if (kind) drawn.classList.add(`k-${kind}`);
  if (context) drawn.classList.add("context");
  if (selected) drawn.classList.add("selected");
  if (section && section.end > section.line) head.prepend(fold(n, section, folded));
  if (line) content(text, n, line, hit, current, opened);
  if (folded) text.append(el("span", { className: "more" }, `${count(section.end - section.line, "line")} folded`));
  const item = el("div", { className: "item" }, drawn);
  item.dataset.line = n;
  if (gap > 0) {
    const show = el("button", { type: "button", className: "gap", tabIndex: -1 }, `${count(gap, "line")} not shown`);
    show.dataset.act = "gap";
    item.prepend(el("div", { role: "row" }, el("div", { role: "cell" }, show)));
  }
  return item;
}

function fold(n, section, folded) {
  const button = el("button", {
    type: "button", className: "fold", tabIndex: -1, "aria-expanded": String(!folded), "aria-label": `lines of ${section.name}`,
  }, folded ? "▸" : "▾");
  button.dataset.act = "fold";
  return button;
}

function action(name, label) {
  const button = el("button", { type: "button", className: "more" }, label);
  button.dataset.act = name;
  return button;
}

function content(text, n, line, { spans = [], far } = {}, current, opened) {
  const all = line.text + (opened?.extra ?? []).join(""), list = tokens(all), at = opened?.at ?? line.shown;
  const shown = line.text.includes("\r") ? states(all) : [[0, all.length]];
  const draw = ([from, to]) => pieces(list, from, to, spans, current);
  let more = "";
  if (line.cut && opened?.full) more = el("span", { className: "more" }, `cut here: ${bytes(line.bytes)} in all; download has the rest`);
  else if (line.cut && at < line.bytes) more = action("more", opened?.extra ? `show more of ${bytes(line.bytes)}` : `show more: the line has ${bytes(line.bytes)}`);
  if (shown.length === 1) text.append(...draw(shown[0]), more);
  else {
    // The last state of a line that is cut is not in its text.
    const end = more && line.end !== undefined && tokens(line.end), [last] = shown.slice(-1);
    const final = end ? pieces(end, ...states(line.end).at(-1), [], false) : draw(last);
    const overwritten = spans.length > 0 && (end || spans.every(([, to]) => to <= last[0]));
    if (opened?.states ?? overwritten) {
      for (const state of end ? shown : shown.slice(0, -1)) text.append(el("div", {}, ...draw(state)));
      text.append(el("div", {}, more), el("div", {}, ...final, action("last", "only the last")));
    } else {
      const before = line.cut ? line.returns : shown.length - 1;
      text.append(...final, action("states", before ? count(before, "earlier state") : "earlier states"));
    }
  }
  if (far) {
    text.append(el("span", { className: "more" }, `${bytes(far.off)} into the line`), "…", ...plain(far.before),
      el("mark", { className: current ? "hit current" : "hit" }, ...plain(far.text)), ...plain(far.after), "…");
  }
}

const plain = (text) => pieces(tokens(text), 0, text.length, [], false);

// pieces are the elements of a part of a line, with what was found marked.
function pieces(list, from, to, spans, current) {
  const drawn = [];
  let next = 0;
  const add = (t, a, b, hit) => {
    const shown = t.sign ? t.text : t.text.slice(a - t.from, b - t.from);
    const name = hit ? `${t.name} hit${current ? " current" : ""}` : t.name;
    if (!name) drawn.push(shown);
    else drawn.push(el(hit ? "mark" : "span", { className: name }, shown));
  };
  for (const t of list) {
    let a = Math.max(t.from, from);
    const end = Math.min(t.to, to);
    while (a < end) {
      while (next < spans.length && spans[next][1] <= a) next++;
      const span = spans[next];
      if (!span || span[0] >= end) {
        add(t, a, end, false);
        break;
      }
      if (t.sign) {
        add(t, a, end, true);
        break;
      }
      if (span[0] > a) add(t, a, span[0], false);
      const stop = Math.min(span[1], end);
      add(t, Math.max(a, span[0]), stop, true);
      a = stop;
    }
  }
  return drawn;
}
