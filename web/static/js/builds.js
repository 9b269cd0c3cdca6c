// The list of builds: says that there are newer ones, and draws the rows of
// builds that have ended anew, where they are. See live.js for who tells it.
const live = document.getElementById("live"), news = document.getElementById("news");

live?.addEventListener("live", () => { live.hidden = false; });

live?.addEventListener("builds", ({ detail: { newer, changed } }) => {
  say(newer);
  redraw(changed.filter((uuid) => !drawn.has(uuid)));
});

let said = 0;

function say(newer) {
  if (newer === said) return;
  said = newer;
  if (newer === 0) {
    news.replaceChildren();
    return;
  }
  const link = document.createElement("a");
  link.href = location.pathname + location.search;
  link.textContent = newer === 1 ? "1 new build" : `${newer > 99 ? "99+" : newer} new builds`;
  news.replaceChildren(link);
}

const drawn = new Set();

function redraw(uuids) {
  if (uuids.length === 0) return;
  const request = new XMLHttpRequest();
  request.open("GET", `${location.pathname}?${new URLSearchParams(uuids.map((uuid) => ["uuid", uuid]))}`);
  request.responseType = "document";
  request.addEventListener("load", () => {
    for (const uuid of uuids) {
      const row = request.response?.getElementById(`b-${uuid}`), old = document.getElementById(`b-${uuid}`);
      if (!row || !old) continue;
      drawn.add(uuid);
      const focused = [...old.querySelectorAll("a")].indexOf(document.activeElement);
      old.replaceWith(document.adoptNode(row));
      if (focused >= 0) row.querySelectorAll("a")[focused]?.focus();
    }
  });
  request.send();
}

// One filter is open at a time, closes on Escape and outside, and its field has
// the focus.
const filters = document.querySelector(".filters");
if (filters) {
  const close = () => filters.querySelectorAll("details[open]").forEach((d) => { d.open = false; });
  document.addEventListener("click", (e) => { if (!filters.contains(e.target)) close(); });
  filters.addEventListener("keydown", (e) => {
    if (e.key !== "Escape") return;
    const open = filters.querySelector("details[open]");
    close();
    open?.querySelector("summary").focus();
  });
  for (const details of filters.querySelectorAll("details")) {
    details.addEventListener("toggle", () => {
      if (details.open) details.querySelector("[id^=f-], .results input").focus();
    });
  }
}
