// The server's answers. It is on this machine, below a path that is a secret.
const base = new URL("../api/", import.meta.url);

// address is that of an answer about a log, or about the build if there is none.
export function address(what, params = {}) {
  const url = new URL(what, base);
  for (const [name, value] of Object.entries(params)) url.searchParams.set(name, value);
  return url.href;
}

async function get(url, signal) {
  let response;
  try {
    response = await fetch(url, { signal });
  } catch (e) {
    if (signal?.aborted) throw e;
    throw new Error("vitrine doesn't answer any more: it was ended, or the machine slept too long");
  }
  if (response.ok) return response;
  let told;
  try {
    told = (await response.json()).error;
  } catch { /* not ours; its status says enough */ }
  throw new Error(told || `vitrine answered with status ${response.status}`);
}

export const ask = async (url, signal) => (await get(url, signal)).json();

// text is an answer as it is, undefined if it has more bytes than most.
export async function text(url, most) {
  const response = await get(url);
  if (Number(response.headers.get("Content-Length")) <= most) return response.text();
  await response.body.cancel();
  return undefined;
}

// objects are those of an answer that has one on each line, as they come.
export async function* objects(url, signal) {
  const response = await get(url, signal);
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) break;
    const pieces = (rest + value).split("\n");
    rest = pieces.pop();
    for (const piece of pieces) if (piece) yield JSON.parse(piece);
  }
  if (rest) yield JSON.parse(rest);
}
