// The page's worker, behind the npm package's code in one script: it holds the module and one model, and answers one
// request after the other. {id, type, ...} -> {id, result} or {id, error: {name, message}}.

let compiledModule;
let model;

async function gunzip(bytes) {
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Response(stream).arrayBuffer();
}

// FNV-1a of 64 bits: what `classify --digest`, the example in C, prints. Its prime is 2^40 + 435.
function digestOf(bytes) {
  let high = 0xcbf29ce4;
  let low = 0x84222325;
  for (const byte of bytes) {
    low = (low ^ byte) >>> 0;
    const product = low * 435;
    high = (Math.imul(high, 435) + Math.floor(product / 2 ** 32) + (low << 8)) >>> 0;
    low = product >>> 0;
  }
  return [high, low].map((half) => half.toString(16).padStart(8, "0")).join("");
}

// Milliseconds of the fastest of at least 3 runs, and of as many as 100 ms hold.
let repeats = 1; // of one reading of the clock, which is coarse in browsers

function timed(run) {
  const times = [];
  const end = performance.now() + 100;
  while (times.length < 3 || (performance.now() < end && times.length < 200)) {
    const begin = performance.now();
    for (let i = 0; i < repeats; i++) run();
    const ms = (performance.now() - begin) / repeats;
    if (ms * repeats < 1 && repeats < 64) repeats *= 2;
    else times.push(ms);
  }
  return Math.min(...times);
}

const requests = {
  async start({ wasm }) {
    compiledModule = await WebAssembly.compile(await gunzip(wasm));
  },

  async load({ bytes }) {
    const loaded = await load(bytes, { wasm: compiledModule });
    model?.free();
    model = loaded;
    repeats = 1;
    const { task, labels, colors, inputSize, provenance, isa } = model;
    return { task, labels, colors, inputSize, provenance, isa };
  },

  // A live picture is answered quickly: without logits of its own, and timed once.
  run({ picture, isLive }) {
    if (model === undefined) throw new BitvitError("InputError", "there is no model yet");
    const begin = performance.now();
    const prepared = model.prepare(picture);
    const answer = { prepared, prepareMs: performance.now() - begin, task: model.task };
    const network = () => (model.task === "segmentation" ? model.classes(prepared) : model.logits(prepared));
    const start = performance.now();
    const output = network();
    answer.ms = performance.now() - start;
    if (model.task === "segmentation") {
      const { labelMap, width, height } = model.predict(picture);
      const counts = new Array(model.labels.length).fill(0);
      for (const label of labelMap) counts[label]++;
      Object.assign(answer, { labelMap, width, height, counts, digest: digestOf(labelMap) });
    } else {
      answer.top = model.predict(picture, { top: 5 }).top;
      answer.logits = output;
      answer.digest = isLive ? "" : digestOf(new Uint8Array(output.buffer));
    }
    if (!isLive) answer.ms = timed(network);
    return answer;
  },
};

onmessage = async ({ data: { id, type, ...request } }) => {
  try {
    postMessage({ id, result: await requests[type](request) });
  } catch (error) {
    const name = error instanceof BitvitError ? error.code : error.name;
    postMessage({ id, error: { name, message: error.message } });
  }
};
