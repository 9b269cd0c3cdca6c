// The large view of a gallery by keyboard: arrows go from one to the next, Escape
// closes it and leaves the focus where it was opened. Its links do the same
// without this.
let opener;

const shown = () => document.querySelector(".full:target");

addEventListener("keydown", (e) => {
  const view = shown();
  if (!view || e.altKey || e.ctrlKey || e.metaKey) return;
  const link = { ArrowLeft: "[rel=prev]", ArrowRight: "[rel=next]", Escape: ".close" }[e.key];
  if (!link) return;
  e.preventDefault();
  location.replace(view.querySelector(link).hash);
});

addEventListener("hashchange", () => {
  const view = shown();
  if (view) {
    opener = document.querySelector(`.open[href="#${view.id}"]`);
    view.focus();
  } else {
    opener?.focus();
    opener = undefined;
  }
});
