// Draws a line.
import { el, bytes, count, number } from "./dom.js";
import { tokens, states } from "./ansi.js";

// row draws line n. With it come: its section and whether that is folded, the
// number of lines hidden before it, what was found in it, whether it is selected,
// and what of it is opened: {extra: pieces of a long line, states: all of them}.
export function row(n, line, { section, folded, gap, spans, current, selected, opened, counted }) {
  const number_ = el("a", { className: "n", href: `#L${n}`, tabIndex: -1 }, counted ? String(n) : "·");
  const head = el("div", { className: "gutter", role: "rowheader" }, number_);
  const text = el("div", { className: "text", role: "cell", dir: "ltr" });
  const drawn = el("div", { className: "row", role: "row", "aria-rowindex": n }, head, text);
  if (line?.kind) drawn.classList.add(`k-${line.kind}`);
  if (selected) drawn.classList.add("selected");
  if (section && section.end > section.line) head.prepend(fold(n, section, folded));
  if (line) content(text, n, line, spans ?? [], current, opened);
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

function content(text, n, line, spans, current, opened) {
  const list = tokens(line.text);
  const all = line.text.includes("\r") ? states(line.text) : [[0, line.text.length]];
  const [from, to] = all.at(-1);
  if (all.length === 1) {
    text.append(...pieces(list, 0, all[0][1], spans, current));
  } else if (opened?.states) {
    for (const [a, b] of all) text.append(el("div", {}, ...pieces(list, a, b, spans, current)));
    text.append(action("states", "only the last"));
  } else {
    if (line.end !== undefined) {
      const end = tokens(line.end), [a, b] = states(line.end).at(-1);
      text.append(...pieces(end, a, b, [], false));
    } else text.append(...pieces(list, from, to, spans, current));
    text.append(action("states", `${number(all.length - 1)}${line.cut ? " and more" : ""} before it`));
  }
  for (const piece of opened?.extra ?? []) text.append(el("span", {}, ...pieces(tokens(piece), 0, piece.length, [], false)));
  if (!line.cut || (all.length > 1 && !opened?.states)) return;
  const shown = opened?.bytes ?? 0;
  if (opened?.full) text.append(el("span", { className: "more" }, `cut here: ${bytes(line.bytes)} in all; download has the rest`));
  else if (!opened || opened.at < line.bytes) text.append(action("more", shown ? `show more of ${bytes(line.bytes)}` : `show more: the line has ${bytes(line.bytes)}`));
}

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
