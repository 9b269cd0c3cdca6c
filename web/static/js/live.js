// Hears from the server what becomes of the builds that a page shows. The element
// with data-events says where; it gets the events "live", once it is heard, and
// "builds" with {newer, changed}. A page whose element has data-redraw is drawn
// anew once a build has ended; if that fails, what is marked data-ended is shown
// instead. While nobody looks at the page nothing is held open, and a server that
// is away is asked ever more rarely.
const soonest = 5, latest = 300; // seconds
let element = document.querySelector("[data-events]");
let source, timer, wait = soonest;

const said = document.createElement("p"); // aloud, where there is a screen reader
said.className = "sr";
said.setAttribute("role", "status");
document.body.append(said);

function close() {
  clearTimeout(timer);
  source?.close();
  source = undefined;
}

function open() {
  close();
  if (document.hidden || !element) return;
  source = new EventSource(element.dataset.events);
  source.addEventListener("open", () => {
    for (const still of document.querySelectorAll("[data-still]")) still.hidden = true;
    for (const live of document.querySelectorAll("[data-live]")) live.hidden = false;
    element.dispatchEvent(new CustomEvent("live"));
  });
  source.addEventListener("builds", (e) => {
    wait = soonest;
    const detail = JSON.parse(e.data);
    element.dispatchEvent(new CustomEvent("builds", { detail }));
    if (detail.changed.length > 0 && "redraw" in element.dataset) redraw();
  });
  source.addEventListener("error", () => {
    close();
    timer = setTimeout(open, wait * 1000 * (0.5 + Math.random()));
    wait = Math.min(2 * wait, latest);
  });
}

// redraw puts the page as it is now in the place of what there is, and leaves the
// focus on the link that had it, or at the start of the page if that is gone.
function redraw() {
  const request = new XMLHttpRequest();
  request.responseType = "document";
  request.timeout = 15_000;
  request.onload = () => {
    const fresh = request.response?.querySelector("main");
    const next = fresh?.querySelector("[data-events]");
    // A page that knows no more than this one would be asked for again at once.
    if (request.status !== 200 || !fresh || next?.dataset.events === element.dataset.events) return stale();
    const main = document.querySelector("main"), active = document.activeElement;
    const focused = main.contains(active) ? active.getAttribute("href") : undefined;
    main.replaceChildren(...fresh.childNodes);
    document.title = request.response.title;
    if (focused !== undefined) {
      const same = [...main.querySelectorAll("a")].find((a) => a.getAttribute("href") === focused);
      if (!same) main.tabIndex = -1;
      (same ?? main).focus({ preventScroll: true });
    }
    document.dispatchEvent(new CustomEvent("redrawn"));
    said.textContent = `A build has ended: ${main.querySelector("h1").textContent}`;
    element = next ?? null;
    open();
  };
  request.onerror = request.ontimeout = stale;
  request.open("GET", location.href);
  request.send();
}

function stale() {
  for (const ended of document.querySelectorAll("[data-ended]")) {
    ended.hidden = false;
    said.textContent = ended.textContent;
  }
}

if (element) {
  document.addEventListener("visibilitychange", () => (document.hidden ? close() : open()));
  addEventListener("pagehide", close);
  addEventListener("pageshow", (e) => { if (e.persisted) open(); });
  open();
}
