// The first thing to see: how the build ended, and what failed in it.
import { el, by, bytes, count, number } from "./dom.js";

const results = {
  SUCCESS: ["ok", "Succeeded"], FAILURE: ["bad", "Failed"], TIMED_OUT: ["bad", "Timed out"], POST_FAILURE: ["bad", "Failed after its run"],
  NODE_FAILURE: ["bad", "Failed: no node"], RETRY_LIMIT: ["bad", "Failed again and again"], RETRY: ["lost", "To be tried again"], ERROR: ["bad", "Could not be run"],
  CONFIG_ERROR: ["bad", "Could not be run: its configuration is wrong"], MERGER_FAILURE: ["bad", "Could not be merged"], MERGE_CONFLICT: ["bad", "Could not be merged"],
  DISK_FULL: ["bad", "Failed: the disk was full"], LOST: ["lost", "Lost"], ABORTED: ["lost", "Interrupted"], CANCELED: ["none", "Cancelled"], SKIPPED: ["none", "Skipped"],
};
const mostNotes = 200;
const small = matchMedia("(max-width: 720px), (max-height: 700px)");
const begin = () => (small.matches ? { notes: 1, hosts: 0 } : { notes: 3, hosts: 4 }); // the log needs the room

const shapes = { ok: "M8 1a7 7 0 1 0 0 14A7 7 0 0 0 8 1z", bad: "M2 2h12v12H2z", lost: "M8 0l8 8-8 8-8-8z", none: "M1 6h14v4H1z" };

function mark(kind) {
  const ns = "http://www.w3.org/2000/svg", svg = document.createElementNS(ns, "svg"), path = document.createElementNS(ns, "path");
  svg.setAttribute("viewBox", "0 0 16 16");
  svg.setAttribute("class", `mark ${kind}`);
  svg.setAttribute("aria-hidden", "true");
  path.setAttribute("d", shapes[kind]);
  svg.append(path);
  return svg;
}

const sorts = ["failed", "error", "ignored", "warning"];

// sort is what a note counts as, as for vitrine show: a failure after which the play
// went on is among the warnings, and is none.
const sort = (name, note) => ({ failures: "failed", errors: "error" }[name] ?? (note.kind === "failed" ? "ignored" : "warning"));

// summary draws it; go is called with an artifact's path and a line.
export function summary(build, go) {
  const [kind, word] = results[build.result] ?? ["none", build.result];
  const logs = build.summary?.logs ?? [];
  const notes = logs.flatMap((log) => ["failures", "errors", "warnings"].flatMap((name) => (log[name] ?? []).map((note) => ({ ...note, sort: sort(name, note), path: log.path }))));
  notes.sort((a, b) => sorts.indexOf(a.sort) - sorts.indexOf(b.sort));
  const omitted = logs.reduce((n, log) => n + (log.omitted ?? 0), 0);
  const found = [["failed", "failure"], ["error", "error"], ["warning", "warning"]].map(([name, one]) => [notes.filter((n) => n.sort === name).length, one]).filter(([n]) => n > 0).map(([n, one]) => count(n, one));
  const said = found.length > 0 ? ` ${omitted > 0 || build.summary.omitted ? "At least " : ""}${found.join(", ")}.` : "";
  if (build.result) by("title").replaceChildren(mark(kind), word, ...when(build, word), `.${said}`);
  else by("title").textContent = build.job || count(build.artifacts.length, "log");
  const lead = [];
  if (build.job && build.result) lead.push(el("b", {}, build.job));
  const change = build.change ? `change ${build.change}${build.patchset ? `, patchset ${build.patchset},` : ""}` : "";
  if (build.project) lead.push(el("span", {}, change && `${change} of `, el("bdi", {}, build.project)));
  if (build.pipeline) lead.push(el("span", { className: "aside" }, "pipeline ", el("bdi", {}, build.pipeline)));
  if (build.uuid) {
    const id = el("code", {}, build.uuid.slice(0, 12));
    const page = /^https?:\/\//.test(build.page) ? el("a", { href: build.page, rel: "noreferrer", target: "_blank" }, "build ", id) : el("span", {}, "build ", id);
    lead.push(page);
  }
  lead.push(el("span", { className: "aside" }, `opened on this machine, ${bytes(build.artifacts.reduce((n, a) => n + a.size, 0))}`));
  by("lead").replaceChildren(...lead.flatMap((part, i) => (i > 0 ? [el("span", { className: part.className }, " · "), part] : [part])));
  document.title = build.result ? `${word}: ${build.job}` : by("title").textContent;

  const list = by("notes");
  list.replaceChildren(...notes.slice(0, mostNotes).map((note) => item(note, logs.length > 1 || build.artifacts.length > 1, go)));
  const hidden = Math.max(notes.length - mostNotes, 0) + omitted;
  if (hidden > 0) list.append(el("li", { className: "dim" }, `and ${number(hidden)} more`));
  if (build.summary?.omitted) list.append(el("li", { className: "dim" }, `and what ${count(build.summary.omitted, "more log")} told`));
  const hosts = logs.flatMap((log) => log.recap ?? []).sort((a, b) => trouble(b) - trouble(a));
  by("recap").replaceChildren(...hosts.slice(0, mostNotes).map(host));
  by("what").hidden = notes.length === 0 && hosts.length === 0;
  const grave = notes.some((n) => n.sort === "failed" || n.sort === "error");
  const failed = kind === "ok" ? "Errors and warnings" : "What failed";
  by("what-title").textContent = grave ? failed : notes.length > 0 ? "Warnings" : "Hosts";
  by("what-all").open = grave;
  rest();
  small.addEventListener("change", () => rest());
  by("rest").addEventListener("click", () => rest(by("rest").getAttribute("aria-expanded") === "false"));
}

// rest shows the first notes and hosts, or all of them.
function rest(all = false) {
  const left = [];
  for (const [name, one] of [["notes", ""], ["hosts", "host"]]) {
    const items = [...by(name === "notes" ? "notes" : "recap").children], most = begin()[name];
    // One more would take no more room than to say that there is.
    items.forEach((item, i) => { item.hidden = !all && i >= most && items.length > most + (name === "notes" && most > 1 ? 1 : 0); });
    const hidden = items.filter((item) => item.hidden).length;
    if (hidden > 0) left.push(one ? count(hidden, one) : `${number(hidden)} more`);
  }
  const button = by("rest"), long = all && (by("notes").children.length > begin().notes || by("recap").children.length > begin().hosts);
  by("what").classList.toggle("all", all);
  button.hidden = left.length === 0 && !long;
  button.textContent = all ? "fewer" : left.join(", ");
  button.setAttribute("aria-expanded", String(all));
}

const trouble = (h) => h.failed + h.unreachable;

// when says how long a build took and when it ended.
function when({ start_time: start, end_time: end, took }, word) {
  if (!start || !end) return [];
  const date = new Date(end);
  const joint = word === "Succeeded" ? " in " : word.length < 12 ? " after " : ", after ";
  return [`${joint}${took}, `, el("time", { dateTime: end, title: date.toLocaleString("en-GB", { dateStyle: "long", timeStyle: "long" }) }, clock(date))];
}

function clock(date) {
  const day = (d) => d.toDateString(), time = date.toLocaleTimeString("en-GB", { hour: "2-digit", minute: "2-digit" });
  const yesterday = new Date();
  yesterday.setDate(yesterday.getDate() - 1);
  if (day(date) === day(new Date())) return `today ${time}`;
  if (day(date) === day(yesterday)) return `yesterday ${time}`;
  return `${date.toLocaleDateString("en-GB", { day: "numeric", month: "short", year: "numeric" })}, ${time}`;
}

function item(note, several, go) {
  const where = [note.task, note.host].filter(Boolean).join(" · ");
  const button = el("button", { type: "button", className: `note ${note.sort}`, title: `${note.path} line ${note.line}: ${where}`, on: { click: () => chosen(note, go) } },
    el("span", { className: "where" }, el("span", { className: "kind" }, note.sort), el("span", { className: "task" }, where),
      el("span", { className: "line" }, several ? el("span", { className: "aside" }, `${note.path} `) : "", `line ${number(note.line)}`)),
    el("span", { className: "message" }, note.message));
  return el("li", {}, button);
}

function chosen(note, go) {
  if (small.matches) by("what-all").open = false;
  go(note.path, note.line);
}

function host(h) {
  const counts = ["ok", "changed", "unreachable", "failed", "skipped", "rescued", "ignored"].filter((name) => h[name] > 0).map((name) =>
    el("span", { className: name === "failed" || name === "unreachable" ? "bad" : "" }, `${name} ${number(h[name])}`));
  return el("li", {}, el("b", {}, h.name), ...counts.flatMap((c) => [" ", c]));
}
