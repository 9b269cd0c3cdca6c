// What can be done by keyboard, in one list: it is also the help.
import { el, by, say } from "./dom.js";

// keys joins keys with what they do; [keys, words, action].
export function keys(list) {
  const actions = new Map(list.flatMap(([names, , action]) => names.map((name) => [name, action])));
  const shown = { " ": "Space", ArrowDown: "↓", ArrowUp: "↑", "Shift+ArrowDown": "Shift ↓", "Shift+ArrowUp": "Shift ↑", "Shift+ ": "Shift Space", "Shift+Enter": "Shift Enter" };
  by("keys").replaceChildren(...list.flatMap(([names, words]) => [
    el("dt", {}, ...names.flatMap((name, i) => [i > 0 ? " " : "", el("kbd", {}, shown[name] ?? name)])), el("dd", {}, words),
  ]));
  addEventListener("keydown", (e) => {
    if (e.defaultPrevented || e.altKey || e.ctrlKey || e.metaKey) return;
    const named = e.key.length > 1 || e.key === " "; // a letter has its Shift in it already
    const name = e.shiftKey && named ? `Shift+${e.key}` : e.key;
    const action = actions.get(name);
    if (!action) return;
    const field = e.target.closest("input:not([type=checkbox]):not([type=radio]), select, textarea");
    if (field && e.key !== "Escape") return;
    if (e.target.closest("button, summary, a, input, dialog") && (e.key === " " || e.key === "Enter" || e.key.startsWith("Arrow") && e.target.closest("input"))) return;
    if (e.target.closest("dialog") || by("help").open) return; // it has Escape itself
    e.preventDefault();
    say("");
    action(e);
  });
}
