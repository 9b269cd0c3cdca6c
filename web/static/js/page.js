// What a page does beyond its HTML: copy buttons, and relative times that stay
// true while it is open. Everything works without it.

function copyButtons() {
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
}
copyButtons();
document.addEventListener("redrawn", copyButtons); // by live.js: all blocks are new ones

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

// What runs says for how long; the words are those of func duration in words.go.
function duration(seconds) {
  const s = Math.max(0, Math.round(seconds)), two = (n) => String(n).padStart(2, "0");
  if (s < 60) return `${s} s`;
  if (s < 3600) return `${Math.floor(s / 60)} min ${two(s % 60)} s`;
  if (s < 24 * 3600) return `${Math.floor(s / 3600)} h ${two(Math.floor(s / 60) % 60)} min`;
  const days = Math.floor(s / 86400), hours = Math.floor(s / 3600) % 24;
  return hours ? `${days} d ${hours} h` : `${days} d`;
}

setInterval(() => {
  for (const span of document.querySelectorAll("[data-since]")) {
    const text = duration((Date.now() - Date.parse(span.dataset.since)) / 1000);
    if (span.textContent !== text) span.textContent = text;
  }
}, 1000);

// A slash leads to the search box.
document.addEventListener("keydown", (e) => {
  if (e.key !== "/" || e.ctrlKey || e.metaKey || e.altKey || e.target.closest("input, select, textarea, [contenteditable]")) return;
  const search = document.querySelector(".search input");
  if (!search) return;
  e.preventDefault();
  search.focus();
  search.select();
});
