// What a page does beyond its HTML: copy buttons, and relative times that stay
// true while it is open. Everything works without it.

for (const block of document.querySelectorAll(".cmd")) {
  const button = document.createElement("button");
  button.type = "button";
  button.textContent = "Copy";
  button.addEventListener("click", async () => {
    try {
      await navigator.clipboard.writeText(block.querySelector("code").textContent);
      button.textContent = "Copied";
    } catch {
      getSelection().selectAllChildren(block.querySelector("code"));
      button.textContent = "Selected";
    }
    setTimeout(() => { button.textContent = "Copy"; }, 2000);
  });
  block.append(button);
}

// The words are those of func ago in words.go.
function ago(seconds) {
  if (seconds < 60) return "just now";
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ago`;
  if (seconds < 24 * 3600) return `${Math.floor(seconds / 3600)} h ago`;
  if (seconds < 48 * 3600) return "yesterday";
  if (seconds < 30 * 24 * 3600) return `${Math.floor(seconds / 86400)} days ago`;
  return "";
}

setInterval(() => {
  for (const time of document.querySelectorAll("time[data-ago]")) {
    const text = ago((Date.now() - Date.parse(time.dateTime)) / 1000);
    if (text) time.textContent = text;
  }
}, 30_000);

// One filter is open at a time, closes on Escape and outside, and its field
// has the focus; fields left empty stay out of the address.
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
      if (details.open) details.querySelector("input, select").focus();
    });
  }
  filters.addEventListener("formdata", (e) => {
    for (const [name, value] of [...e.formData]) if (value === "") e.formData.delete(name);
  });
}
