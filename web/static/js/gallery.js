// The large view of a gallery by keyboard: arrows go from one to the next, Escape
// closes it and leaves the focus where it was opened, b and a show the picture
// before and after alone, space goes from one to the other, s shows them side by
// side, 1 in their own size. Its links and fields do the same without this.
let opener;

const shown = () => document.querySelector(".full:target");

addEventListener("keydown", (e) => {
  const view = shown();
  if (!view || e.altKey || e.ctrlKey || e.metaKey) return;
  const link = { ArrowLeft: "[rel=prev]", ArrowRight: "[rel=next]", Escape: ".close" }[e.key];
  const own = e.target.closest("input, a"); // which has a use for some keys itself
  if (link && !(own?.type === "radio" && e.key !== "Escape")) {
    e.preventDefault();
    location.replace(view.querySelector(link).hash);
    return;
  }
  const is = (value) => view.querySelector(`[value=${value}]`)?.checked;
  let mode = { b: "before", a: "now", s: "side", 1: "actual" }[e.key];
  if (e.key === " " && !own) mode = is("now") ? "before" : "now";
  const field = mode && view.querySelector(`[value=${mode}]`);
  if (!field) return;
  e.preventDefault();
  field.checked = field.type === "radio" || !field.checked;
});

function place() {
  const view = shown();
  if (view) {
    opener = document.querySelector(`.open[href="#${view.id}"]`);
    view.focus();
  } else {
    opener?.focus();
    opener = undefined;
  }
}
addEventListener("hashchange", place);
if (shown()) place();
