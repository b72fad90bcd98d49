// Times networks in turns, in Node or in a browser: bitvit's packed file and ONNX files in onnxruntime-web, one thread.
//
// measure(bitvit, ort, ortFolder, sources, rounds): bitvit and ort are their modules; sources has the contents of
// `model.bitvit` and of ONNX files; returns name -> {milliseconds: [...], logits}.

const makeBytes = (count) => new Uint8Array(count).map((_, i) => (Math.imul(i, 2654435761) >>> 13) & 255);

export async function measure(bitvit, ort, ortFolder, sources, rounds) {
  ort.env.wasm.numThreads = 1;
  if (ortFolder) ort.env.wasm.wasmPaths = ortFolder;
  const model = await bitvit.load(sources["model.bitvit"]);
  const { width, height, channels } = model.inputSize;
  const pixels = makeBytes(width * height * channels);
  const floats = new Float32Array(channels * width * height);
  for (let i = 0; i < pixels.length; i++) floats[(i % channels) * width * height + Math.floor(i / channels)] = pixels[i] / 127.5 - 1;
  const contenders = { bitvit: async () => model.logits(pixels) };
  for (const name of Object.keys(sources).filter((name) => name.endsWith(".onnx"))) {
    const session = await ort.InferenceSession.create(sources[name], { executionProviders: ["wasm"] });
    const image = new ort.Tensor("float32", floats, [1, channels, height, width]);
    contenders[name] = async () => Object.values(await session.run({ [session.inputNames[0]]: image }))[0].data;
  }
  const results = {};
  for (const name of Object.keys(contenders)) results[name] = { milliseconds: [], logits: Array.from(await contenders[name]()) };
  for (let round = 0; round < rounds; round++) {
    for (const [name, run] of Object.entries(contenders)) {
      const start = performance.now();
      await run();
      results[name].milliseconds.push(performance.now() - start);
    }
  }
  return results;
}
