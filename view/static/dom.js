// Elements, made one by one: text is only ever text.

// el makes an element; a property with a dash is an attribute, "on" are listeners.
export function el(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name === "on") for (const [event, listener] of Object.entries(value)) element.addEventListener(event, listener);
    else if (name === "role" || name.includes("-")) element.setAttribute(name, value);
    else element[name] = value;
  }
  element.append(...children.filter((c) => c !== undefined && c !== null && c !== false));
  return element;
}

export const by = (id) => document.getElementById(id);

const noticed = 6000; // milliseconds
let notice;

// say tells people who hear the page, and those who look at it, for a while.
export function say(text) {
  clearTimeout(notice);
  by("said").textContent = text;
  if (text) notice = setTimeout(() => say(""), noticed);
}

// hear tells those who hear the page alone.
export function hear(text) {
  by("heard").textContent = text;
}

const numbers = new Intl.NumberFormat("en");
export const number = (n) => numbers.format(n);
export const count = (n, one, many = `${one}s`) => `${number(n)} ${n === 1 ? one : many}`;

export function bytes(n) {
  const units = ["B", "kB", "MB", "GB", "TB"];
  let at = 0;
  for (; n >= 999.5 && at < units.length - 1; at++) n /= 1000;
  return `${at === 0 || n >= 100 ? Math.round(n) : n.toFixed(1)} ${units[at]}`;
}
