// Tells vitrine that somebody looks, and the page when vitrine has ended.
import { address } from "./api.js";

// alive holds an answer open, and tells at each change whether vitrine goes on. A
// browser has few connections to one server, so of all tabs one does it, and
// tells the others; when it is closed the next takes its place.
export function alive(tell) {
  const others = new BroadcastChannel(address("alive"));
  others.addEventListener("message", (e) => tell(e.data));
  const hold = () => new Promise(() => { // as long as there is this tab
    const source = new EventSource(address("alive"));
    for (const [name, goes] of [["open", true], ["error", false]]) {
      source.addEventListener(name, () => {
        tell(goes);
        others.postMessage(goes);
      });
    }
  });
  if (navigator.locks) navigator.locks.request(address("alive"), hold);
  else hold();
}
