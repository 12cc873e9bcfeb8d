// Runs in a worker, so that the page never freezes. Every message is one call, and every call has
// one answer with the milliseconds it took.
"use strict";
let simulator = null;

// What people may do about a file: its size, whether it can be read at all.
async function bytesOf(file) {
  try {
    return new Uint8Array(await file.arrayBuffer());
  } catch (error) {
    throw `${file.name} cannot be read: ${error.message ?? error}`;
  }
}

const CALLS = {
  // Compiles the module from its text, or takes it as another worker compiled it.
  begin({ module, text }) {
    const compiled = module ?? new WebAssembly.Module(Uint8Array.from(atob(text), (c) => c.charCodeAt(0)));
    wasm_bindgen.initSync({ module: compiled });
    return { module: compiled, knobs: wasm_bindgen.knobs() };
  },
  async read({ file, options }) {
    wasm_bindgen.fits(file.name, file.size);
    const bytes = await bytesOf(file);
    return take(() => wasm_bindgen.Simulator.read(file.name, bytes, options));
  },
  makeUp({ specification, duration, options }) {
    return take(() => wasm_bindgen.Simulator.make_up(specification, duration, options));
  },
  sha256() {
    return simulator.sha256();
  },
  simulate({ question }) {
    return simulator.simulate(question);
  },
  point({ question }) {
    return simulator.point(question);
  },
};

function take(make) {
  simulator?.free();
  simulator = null;
  simulator = make();
  return simulator.about();
}

onmessage = async ({ data }) => {
  const began = performance.now();
  try {
    const value = await CALLS[data.call](data);
    postMessage({ id: data.id, value, ms: performance.now() - began });
  } catch (error) {
    // Of the module's own errors the text is for people; anything else means that it has ended.
    const ended = typeof error !== "string";
    postMessage({ id: data.id, error: ended ? String(error.message ?? error) : error, ended });
  }
};
