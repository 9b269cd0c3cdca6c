// What the bytes of a line mean for its looks. Of escape sequences only colours
// and weights are followed; all others, and whatever else can't be seen or turns
// text around, are shown as what they are.
import { colourClass } from "./colours.js";

// eslint-disable-next-line no-control-regex
const special = new RegExp([
  /\x1b\[([\d;:]{0,200})m/, // the only sequence that is followed
  /[\x00-\x08\x0a-\x1f\x7f-\x9f]/,
  /[\u061c\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069]/, // what turns text around
  /[\u00ad\u034f\u115f\u1160\u180e\u200b\u2060-\u2065\u206a-\u206f\u3164\ufeff\uffa0\ufff9-\ufffb]|\udb40[\udc00-\udc7f]/, // what has no width, or looks like a space
  /(?<![^\x00-\x7f])[\u200c\u200d]|[\u200c\u200d](?![^\x00-\x7f])/, // joiners, but not those within scripts and emoji that need them
].map((r) => r.source).join("|"), "g");

// sign is what stands for a character: ^[ and the like, as on a terminal, which
// any font has; most have none of the pictures that Unicode has for them.
function sign(char) {
  const code = char.codePointAt(0);
  if (code < 0x20 || code === 0x7f) return `^${String.fromCharCode(code ^ 0x40)}`;
  return code < 0x100 ? `\\x${code.toString(16)}` : `U+${code.toString(16).toUpperCase().padStart(4, "0")}`;
}

const plain = () => ({ fg: null, bg: null, inverse: false, bold: false, dim: false, italic: false, underline: false, strike: false });

const switches = {
  1: { bold: true }, 2: { dim: true }, 3: { italic: true }, 4: { underline: true }, 7: { inverse: true }, 9: { strike: true }, 21: { underline: true },
  22: { bold: false, dim: false }, 23: { italic: false }, 24: { underline: false }, 27: { inverse: false }, 29: { strike: false },
  39: { fg: null }, 49: { bg: null },
};

function follow(style, parameters) {
  const codes = parameters.split(/[;:]/).map(Number);
  for (let i = 0; i < codes.length; i++) {
    const code = codes[i];
    if (code === 0) Object.assign(style, plain());
    else if (code in switches) Object.assign(style, switches[code]);
    else if (code >= 30 && code <= 37) style.fg = code - 30;
    else if (code >= 40 && code <= 47) style.bg = code - 40;
    else if (code >= 90 && code <= 97) style.fg = code - 82;
    else if (code >= 100 && code <= 107) style.bg = code - 92;
    else if (code === 38 || code === 48 || code === 58) {
      let colour = null;
      if (codes[i + 1] === 5) {
        if (codes[i + 2] <= 255) colour = codes[i + 2];
        i += 2;
      } else if (codes[i + 1] === 2) {
        const [r, g, b] = codes.slice(i + 2, i + 5);
        if (r <= 255 && g <= 255 && b <= 255) colour = (1 << 24) | (r << 16) | (g << 8) | b;
        i += 4;
      } else return; // of a kind we don't know, and so of a length too
      if (code === 38) style.fg = colour;
      if (code === 48) style.bg = colour;
    }
  }
}

function classOf(style) {
  const names = ["bold", "dim", "italic", "underline", "strike"].filter((name) => style[name]);
  const colour = colourClass(style.fg, style.bg, style.inverse);
  if (colour) names.push(colour);
  return names.join(" ");
}

// tokens are the pieces of a text as they are shown: from and to say where each
// was in it; a sign stands for what can't be shown.
export function tokens(text) {
  const list = [], style = plain();
  let at = 0, name = "";
  const add = (to) => { if (to > at) list.push({ from: at, to, text: text.slice(at, to), name, sign: false }); };
  for (const found of text.matchAll(special)) {
    add(found.index);
    at = found.index + found[0].length;
    if (found[1] !== undefined) {
      follow(style, found[1]);
      name = classOf(style);
    } else {
      list.push({ from: found.index, to: at, text: sign(found[0]), name: "sign", sign: true });
    }
  }
  add(text.length);
  return list;
}

// states are what a line that went back to its beginning showed one after the
// other, as [from, to] in its text; the last is what stayed.
export function states(text) {
  const list = [];
  for (let from = 0; from < text.length;) {
    const end = text.indexOf("\r", from), to = end < 0 ? text.length : end;
    if (to > from) list.push([from, to]);
    from = to + 1;
  }
  return list.length > 0 ? list : [[0, 0]];
}
