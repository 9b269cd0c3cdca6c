// Hears from the server what becomes of the builds that a page shows. The element
// with data-events says where; it gets the events "live", once it is heard, and
// "builds" with {newer, changed}. What the page has marked data-ended is shown
// once a build has ended. While nobody looks at the page nothing is held open,
// and a server that is away is asked ever more rarely.
const element = document.querySelector("[data-events]");

if (element) {
  const soonest = 5, latest = 300; // seconds
  let source, timer, wait = soonest;

  const close = () => {
    clearTimeout(timer);
    source?.close();
    source = undefined;
  };
  const open = () => {
    close();
    if (document.hidden) return;
    source = new EventSource(element.dataset.events);
    source.addEventListener("open", () => element.dispatchEvent(new CustomEvent("live")));
    source.addEventListener("builds", (e) => {
      wait = soonest;
      const detail = JSON.parse(e.data);
      element.dispatchEvent(new CustomEvent("builds", { detail }));
      if (detail.changed.length > 0) {
        for (const ended of document.querySelectorAll("[data-ended]")) ended.hidden = false;
      }
    });
    source.addEventListener("error", () => {
      close();
      timer = setTimeout(open, wait * 1000 * (0.5 + Math.random()));
      wait = Math.min(2 * wait, latest);
    });
  };
  document.addEventListener("visibilitychange", () => (document.hidden ? close() : open()));
  addEventListener("pagehide", close);
  addEventListener("pageshow", (e) => { if (e.persisted) open(); });
  open();
}
