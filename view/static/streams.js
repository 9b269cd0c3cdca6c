// Long answers, read by the worker.
const script = new URL("worker.js", import.meta.url).href;

// The one script address that this page makes; any other is refused.
const policy = globalThis.trustedTypes?.createPolicy("vitrine", {
  createScriptURL(url) {
    if (url !== script) throw new TypeError("no script of this page");
    return url;
  },
});

const worker = new Worker(policy ? policy.createScriptURL(script) : script, { type: "module" });
const listeners = new Map();
let last = 0;

worker.addEventListener("message", ({ data: { id, batch, end, problem } }) => {
  const listener = listeners.get(id);
  if (!listener) return; // stopped
  if (end) listeners.delete(id);
  listener(batch, { end: Boolean(end), problem });
});

// stream calls back with each batch of objects, and at the end with {end, problem}.
// The function it returns stops it: nothing comes after.
export function stream(url, listener) {
  const id = ++last;
  listeners.set(id, listener);
  worker.postMessage({ id, url });
  return () => {
    if (listeners.delete(id)) worker.postMessage({ id });
  };
}
