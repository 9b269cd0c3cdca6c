// The viewer's page: joins its parts.
import { alive } from "./alive.js";
import { address, ask } from "./api.js";
import { by, count, say } from "./dom.js";
import { keys } from "./keys.js";
import { Outline } from "./outline.js";
import { Panes } from "./panes.js";
import { Search } from "./search.js";
import { Selected, parse } from "./selection.js";
import { summary } from "./summary.js";

const narrow = matchMedia("(max-width: 720px)"); // as view.css has it
const errors = ["failed", "error"], starts = ["task", "group", "heading"];

// ended says so once; what isn't here can't come any more, and is not shown as empty.
function ended(yes) {
  by("ended").hidden = !yes;
  document.body.classList.toggle("gone", yes);
}

// On a phone most tools are behind a button.
function moreTools() {
  const button = by("more"), tools = by("more-tools");
  const toggle = (open) => {
    tools.classList.toggle("there", open);
    button.setAttribute("aria-expanded", String(open));
  };
  button.addEventListener("click", () => toggle(!tools.classList.contains("there")));
  tools.addEventListener("click", (e) => { if (e.target.closest("button")) toggle(false); });
  tools.addEventListener("submit", () => toggle(false));
  addEventListener("pointerdown", (e) => { if (!e.target.closest(".tools")) toggle(false); });
  addEventListener("keydown", (e) => {
    if (e.key !== "Escape" || !tools.classList.contains("there")) return;
    toggle(false);
    button.focus();
    e.preventDefault();
  }, { capture: true });
}

async function start() {
  let build;
  try {
    build = await ask(address("build"));
  } catch (e) {
    by("title").textContent = "This build can't be shown";
    by("lead").textContent = e.message;
    return;
  }
  alive((goes) => ended(!goes));
  moreTools();
  if (build.artifacts.length === 0) {
    by("title").textContent = "No logs";
    by("lead").textContent = "This build has nothing that can be read as a log.";
    return;
  }
  document.body.classList.add("open");
  const panes = new Panes(build.artifacts), outline = new Outline(() => { if (narrow.matches) toggleOutline(); }), search = new Search(), selected = new Selected(build);
  const find = (path) => build.artifacts.find((a) => a.path === path);

  summary(build, (path, line) => {
    const artifact = find(path), pane = panes.current;
    if (artifact && pane.artifact !== artifact) pane.open(artifact, { from: line, to: line });
    else pane.whenCounted(() => pane.select(line));
    pane.focus();
  });

  const show = () => {
    const pane = panes.current;
    outlined();
    outline.show(pane);
    selected.show(pane);
    for (const radio of document.getElementsByName("level")) radio.checked = radio.value === pane.level;
  };
  panes.addEventListener("use", () => { search.use(panes.current); show(); });
  panes.addEventListener("open", () => { search.clear(); show(); });
  // On a wide screen the outline is there as soon as it has something to show; where
  // somebody wants it, unless there is nothing.
  let wish = matchMedia("(min-width: 1000px)").matches, asked = false;
  narrow.addEventListener("change", () => { // there it covers the log
    if (narrow.matches) wish = false;
    show();
  });
  const nothing = () => panes.current.progress === "done" && panes.current.sections.list.length === 0;
  const outlined = () => {
    const { sections, progress } = panes.current;
    let open = wish && (asked || document.body.classList.contains("outlined"));
    if (sections.list.length > 0) open = wish;
    else if (progress === "done") open = false;
    document.body.classList.toggle("outlined", open);
    by("outline").setAttribute("aria-pressed", String(open));
  };
  panes.addEventListener("download", () => selected.download());
  panes.addEventListener("sections", show);
  panes.addEventListener("select", () => selected.show(panes.current));
  // The log needs the room once somebody looks at it; who opens what failed again, keeps it.
  const what = by("what-all");
  let settled = false;
  what.querySelector("summary").addEventListener("click", () => { settled = true; });
  let place;
  panes.addEventListener("move", ({ detail }) => {
    if (detail.user && !settled) {
      settled = true;
      what.open = false;
    }
    clearTimeout(place);
    place = setTimeout(() => outline.follow(), 80);
  });
  search.use(panes.current);

  const jump = by("jump"), help = by("help");
  const toggleOutline = () => {
    if (nothing()) {
      say("no plays, tasks or groups in this log");
      return;
    }
    wish = !document.body.classList.contains("outlined");
    asked = true;
    show();
  };
  const toggleWhat = () => {
    if (by("what").hidden) return say("no summary says what failed");
    settled = true;
    what.open = !what.open;
    if (what.open) what.querySelector(".note")?.focus();
    else panes.current.focus();
    return undefined;
  };
  const toJump = () => { jump.focus(); jump.select(); };
  const toSearch = () => { by("q").focus(); by("q").select(); };
  const level = (name) => panes.current.filter(name);
  const viewport = () => panes.current.viewport;
  const end = () => viewport().show(viewport().total, 1, true);
  const tops = () => viewport().show(1, 0, true);

  by("jump-form").addEventListener("submit", (e) => {
    e.preventDefault();
    const line = Number(jump.value.replace(/[\s,_L]/g, "")), pane = panes.current;
    if (!Number.isInteger(line) || line < 1) say("a line is a number from 1");
    else {
      pane.whenCounted(() => {
        if (line > pane.lines.total) say(`the log has ${count(pane.lines.total, "line")}`);
        pane.select(Math.min(line, pane.lines.total));
      });
      pane.focus();
    }
  });
  for (const radio of document.getElementsByName("level")) radio.addEventListener("change", () => level(radio.value));
  by("outline").addEventListener("click", toggleOutline);
  by("fold").addEventListener("click", () => panes.current.foldAll());
  by("wrap").addEventListener("click", () => panes.wrap());
  by("side").addEventListener("click", () => panes.side());
  by("show-keys").addEventListener("click", () => help.showModal());
  by("help-close").addEventListener("click", () => help.close());

  keys([
    [["?"], "this help", () => help.showModal()],
    [["/"], "search", toSearch],
    [["n", "N"], "next and previous line found; the next error if nothing is searched for", (e) => {
      if (search.active) search.step(e.key === "N");
      else panes.current.step(errors, "error", e.key === "N");
    }],
    [["Enter", "Shift+Enter"], "next and previous line found, in the field too", (e) => { if (search.active) search.step(e.shiftKey); }],
    [["e", "E"], "next and previous error", (e) => panes.current.step(errors, "error", e.key === "E")],
    [["t", "T"], "next and previous task or group", (e) => panes.current.step(starts, "task or group", e.key === "T")],
    [["g", ":"], "go to a line", toJump],
    [["j", "ArrowDown"], "a line down", () => viewport().line(1)],
    [["k", "ArrowUp"], "a line up", () => viewport().line(-1)],
    [[" ", "PageDown"], "a page down", () => viewport().page(1)],
    [["b", "Shift+ ", "PageUp"], "a page up", () => viewport().page(-1)],
    [["Home"], "first line", tops],
    [["G", "End"], "last line", end],
    [["Shift+ArrowDown", "Shift+ArrowUp"], "select lines", (e) => panes.current.grow(e.key === "ArrowDown" ? 1 : -1)],
    [["c"], "copy the lines selected", () => selected.copy()],
    [["d"], "download them, or the log", () => selected.download()],
    [["z", "Z"], "fold what is here; fold or unfold all", (e) => (e.key === "z" ? panes.current.scan(() => panes.current.fold(panes.current.here)) : panes.current.foldAll())],
    [["1", "2", "3"], "all lines; warnings and errors; errors", (e) => level(["all", "warning", "error"][e.key - 1])],
    [["f"], "what failed: fold or open it", () => toggleWhat()],
    [["o"], "the outline", toggleOutline],
    [["w"], "wrap long lines", () => panes.wrap()],
    [["[", "]"], "previous and next log", (e) => panes.other(e.key === "]" ? 1 : -1)],
    [["s"], "another log beside this one, by time", () => panes.side()],
    [["Escape"], "stop what goes on; then forget what was found, and what is selected", () => {
      if (!by("stop").hidden) search.stop();
      else if (panes.current.awaited) panes.current.stopScan();
      else if (search.active) search.clear();
      else panes.current.unselect();
      panes.current.focus();
    }],
  ]);

  const go = (first) => {
    let at = parse(location.hash);
    let artifact = at?.path === undefined ? build.artifacts[0] : find(at.path);
    const pane = panes.current;
    if (!at || !artifact) {
      say(at ? `this build has no log ${at.path}` : `the address names no lines: they are as in #L120-L140`);
      if (!first) return;
      at = undefined;
      artifact ??= build.artifacts[0];
    }
    if (!at?.from) at = undefined; // no lines
    if (first || pane.artifact !== artifact) pane.open(artifact, at);
    else if (at) pane.whenCounted(() => pane.select(at.from, at.to));
  };
  addEventListener("hashchange", () => go(false));
  go(true);
  panes.current.focus();
}

start();
