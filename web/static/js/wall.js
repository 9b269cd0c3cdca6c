// Keeps a wall true while it is shown: every half minute the page is asked for
// again, and its cards take the place of those that are there. When the server
// does not answer, the page says how old it is.

const every = 30_000;
let shown = Date.now();

function refresh() {
  if (document.hidden) return;
  const request = new XMLHttpRequest();
  request.responseType = "document";
  request.timeout = every / 2;
  request.onload = () => {
    const fresh = request.response?.querySelector("main");
    if (request.status !== 200 || !fresh) return stale();
    shown = Date.now();
    const main = document.querySelector("main");
    const focused = main.contains(document.activeElement) ? document.activeElement.getAttribute("href") : null;
    main.replaceChildren(...fresh.childNodes);
    if (focused) [...main.querySelectorAll("a")].find((a) => a.getAttribute("href") === focused)?.focus({ preventScroll: true });
  };
  request.onerror = request.ontimeout = stale;
  request.open("GET", location.href);
  request.send();
}

function stale() {
  const note = document.querySelector(".stale");
  const minutes = Math.max(1, Math.round((Date.now() - shown) / 60_000));
  if (note) note.textContent = `The server does not answer. This is how things were ${minutes} min ago.`;
}

setInterval(refresh, every);
document.addEventListener("visibilitychange", () => { if (Date.now() - shown > every) refresh(); });
