// Reads answers that are long streams, a search or a scan, where it holds nobody
// up, and hands on what they hold by the batch.
import { objects } from "./api.js";

const every = 60; // milliseconds
const spansKept = 20; // of a line: more would be lost on anybody, and cost memory

// A browser has few connections to one server, so of all tabs no more than these
// read a stream at a time; what is on the screen has the others.
const turns = ["stream 1", "stream 2", "stream 3"];

// turn waits for one, and keeps it until what is done then ends.
async function turn(signal, then) {
  if (!navigator.locks) return then();
  for (const name of turns) {
    let got;
    await navigator.locks.request(name, { ifAvailable: true }, (lock) => { if (lock) got = then(); return got; });
    if (got) return got;
  }
  return navigator.locks.request(turns[Math.floor(Math.random() * turns.length)], { signal }, then);
}

const running = new Map();

addEventListener("message", ({ data: { id, url } }) => {
  if (url) read(id, url);
  else running.get(id)?.abort();
});

async function read(id, url) {
  const control = new AbortController();
  running.set(id, control);
  let batch = [], sent = 0;
  const send = (end) => {
    if (!control.signal.aborted) postMessage({ id, batch, ...end });
    batch = [];
    sent = performance.now();
  };
  try {
    await turn(control.signal, async () => {
      for await (const object of objects(url, control.signal)) {
        if (object.spans?.length > spansKept) object.spans.length = spansKept;
        batch.push(object);
        if (performance.now() - sent > every) send();
      }
    });
    send({ end: true });
  } catch (e) {
    send({ end: true, problem: e.message });
  } finally {
    running.delete(id);
  }
}
