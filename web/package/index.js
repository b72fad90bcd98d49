// bitvit in browsers and Node: JavaScript's face of bitvit.wasm, which is the C face (cpp/c/bitvit.h) compiled for
// WebAssembly. Each model has an instance of the module, and so memory, of its own.

const ERROR_BYTES = 504; // struct bitvit_error: int32 code, char message[500]
const IMAGE_BYTES = 24; // struct bitvit_image: six 32-bit fields
const RANKED_BYTES = 16; // struct bitvit_ranked: uint32 index, double probability
const SEGMENTATION = 1;

export class BitvitError extends Error {
  constructor(code, message) {
    super(message);
    this.name = "BitvitError";
    this.code = code;
  }
}

const isNode = typeof process !== "undefined" && Boolean(process.versions?.node);

async function readBytes(source) {
  if (source instanceof ArrayBuffer) return new Uint8Array(source);
  if (ArrayBuffer.isView(source)) return new Uint8Array(source.buffer, source.byteOffset, source.byteLength);
  const address = String(source);
  if (isNode && !/^(https?|data|blob):/.test(address)) {
    const { readFile } = await import("node:fs/promises");
    return readFile(address.startsWith("file:") ? new URL(address) : address);
  }
  const response = await fetch(address);
  if (!response.ok) throw new BitvitError("UnreadableFileError", `${address}: the server answers ${response.status}`);
  return new Uint8Array(await response.arrayBuffer());
}

let ownModule;

function compiled(wasm) {
  if (wasm instanceof WebAssembly.Module) return wasm;
  if (wasm !== undefined) return readBytes(wasm).then((bytes) => WebAssembly.compile(bytes));
  ownModule ??= readBytes(new URL("./bitvit.wasm", import.meta.url)).then((bytes) => WebAssembly.compile(bytes));
  ownModule.catch(() => (ownModule = undefined));
  return ownModule;
}

// The few functions of WASI that the library of C asks for: no files, no environment, only a clock.
function wasiImports(memoryOf) {
  const NOT_SUPPORTED = 52;
  const view = () => new DataView(memoryOf().buffer);
  return {
    environ_sizes_get(count, bytes) {
      view().setUint32(count, 0, true);
      view().setUint32(bytes, 0, true);
      return 0;
    },
    environ_get: () => 0,
    clock_time_get(_clock, _precision, result) {
      view().setBigUint64(result, BigInt(Math.round(performance.now() * 1e6)), true);
      return 0;
    },
    fd_close: () => NOT_SUPPORTED,
    fd_seek: () => NOT_SUPPORTED,
    fd_write: () => NOT_SUPPORTED,
    proc_exit(code) {
      throw new BitvitError("OutOfMemoryError", `bitvit.wasm ended with code ${code}`);
    },
  };
}

// An instance of the module: calls, and what moves through its memory.
class Core {
  constructor(module) {
    const imports = { wasi_snapshot_preview1: wasiImports(() => this.exports.memory) };
    this.exports = new WebAssembly.Instance(module, imports).exports;
    this.exports._initialize();
    this.error = this.allocate(ERROR_BYTES);
  }

  bytes(place, size) {
    return new Uint8Array(this.exports.memory.buffer, place, size); // anew each time: memory that grows moves
  }

  view() {
    return new DataView(this.exports.memory.buffer);
  }

  allocate(size) {
    const place = this.exports.malloc(size) >>> 0;
    if (place === 0) throw new BitvitError("OutOfMemoryError", "there is not enough memory");
    return place;
  }

  // Memory for what `use` does, which gets the places of the blocks of these sizes.
  with(sizes, use) {
    const places = [];
    try {
      for (const size of sizes) places.push(this.allocate(Math.max(size, 1)));
      return use(...places);
    } finally {
      for (const place of places) this.exports.free(place);
    }
  }

  text(place) {
    if (place === 0) return undefined;
    const memory = new Uint8Array(this.exports.memory.buffer);
    return new TextDecoder().decode(memory.subarray(place, memory.indexOf(0, place)));
  }

  // Calls a function whose last argument is the error, and throws that.
  call(name, ...args) {
    let code;
    try {
      code = this.exports[name](...args, this.error);
    } catch (error) {
      if (!(error instanceof WebAssembly.RuntimeError)) throw error;
      throw new BitvitError("OutOfMemoryError", "there is not enough memory, and the model must be loaded again");
    }
    if (code === 0) return;
    throw new BitvitError(this.text(this.exports.bitvit_code_name(code)), this.text(this.error + 4));
  }
}

function checkPicture({ data, width, height, orientation = 1 }) {
  const channels = data.length / (width * height);
  if (![1, 3, 4].includes(channels)) {
    throw new BitvitError("InputError", `${data.length} bytes are no picture of ${width} x ${height} pixels`);
  }
  return { data, width, height, orientation, channels };
}

export class Model {
  #core;
  #model;

  constructor(core, model) {
    this.#core = core;
    this.#model = model;
    const { exports } = core;
    this.task = exports.bitvit_model_task(model) === SEGMENTATION ? "segmentation" : "classification";
    this.isa = core.text(exports.bitvit_isa(model));
    const count = exports.bitvit_class_count(model);
    this.labels = Array.from({ length: count }, (_, i) => core.text(exports.bitvit_label(model, i)));
    this.colors = core.with([3], (place) =>
      this.labels.map((_, i) => {
        exports.bitvit_color(model, i, place);
        return [...core.bytes(place, 3)];
      }),
    );
    this.inputSize = core.with([12], (place) => {
      exports.bitvit_input_size(model, place, place + 4, place + 8);
      const view = core.view();
      const [width, height, channels] = [0, 4, 8].map((offset) => view.getUint32(place + offset, true));
      return { width, height, channels };
    });
    const key = new TextEncoder().encode("provenance\0");
    this.provenance = core.with([key.length], (place) => {
      core.bytes(place, key.length).set(key);
      return JSON.parse(core.text(exports.bitvit_metadata(model, place)) ?? "{}");
    });
  }

  predict(picture, { top = 5 } = {}) {
    const checked = checkPicture(picture);
    if (this.task === "segmentation") return this.#labelMap(checked);
    const n = Math.min(Math.max(Math.floor(top), 1), this.labels.length);
    const ranked = this.#withPicture(checked, [n * RANKED_BYTES], (image, place) => {
      this.#core.call("bitvit_predict", this.#model, image, place, n);
      const view = this.#core.view();
      return Array.from({ length: n }, (_, i) => {
        const index = view.getUint32(place + i * RANKED_BYTES, true);
        return { label: this.labels[index], index, probability: view.getFloat64(place + i * RANKED_BYTES + 8, true) };
      });
    });
    return { ...ranked[0], top: ranked };
  }

  prepare(picture) {
    const size = this.#inputBytes();
    return this.#withPicture(checkPicture(picture), [size], (image, place) => {
      this.#core.call("bitvit_prepare", this.#model, image, place);
      return this.#core.bytes(place, size).slice();
    });
  }

  logits(prepared) {
    return new Float32Array(this.#run("bitvit_run_logits", prepared, this.labels.length));
  }

  classes(prepared) {
    const cells = this.#core.with([8], (place) => {
      this.#core.exports.bitvit_grid_size(this.#model, place, place + 4);
      return this.#core.view().getUint32(place, true) * this.#core.view().getUint32(place + 4, true);
    });
    return new Int32Array(this.#run("bitvit_run_classes", prepared, cells));
  }

  free() {
    if (this.#model !== 0) this.#core.exports.bitvit_free(this.#model);
    this.#model = 0;
  }

  #inputBytes() {
    return this.inputSize.width * this.inputSize.height * this.inputSize.channels;
  }

  #requireModel() {
    if (this.#model === 0) throw new BitvitError("InputError", "the model has been freed");
  }

  // Calls use(place of the struct, other places) with the picture in the module's memory.
  #withPicture({ data, width, height, orientation, channels }, sizes, use) {
    this.#requireModel();
    return this.#core.with([data.length, IMAGE_BYTES, ...sizes], (pixels, image, ...places) => {
      this.#core.bytes(pixels, data.length).set(data);
      const view = this.#core.view();
      [pixels, width, height, channels, 0, orientation].forEach((x, i) => view.setUint32(image + 4 * i, x, true));
      return use(image, ...places);
    });
  }

  #labelMap(picture) {
    const isTurned = picture.orientation >= 5;
    const [width, height] = isTurned ? [picture.height, picture.width] : [picture.width, picture.height];
    const labelMap = this.#withPicture(picture, [width * height], (image, place) => {
      this.#core.call("bitvit_label_map", this.#model, image, place);
      return this.#core.bytes(place, width * height).slice();
    });
    return { labelMap, width, height };
  }

  // The results, of 4 bytes each, for prepared images.
  #run(name, prepared, resultsPerImage) {
    this.#requireModel();
    const size = this.#inputBytes();
    if (prepared.length === 0 || prepared.length % size !== 0) {
      const { width, height, channels } = this.inputSize;
      throw new BitvitError(
        "InputError",
        `${prepared.length} bytes are no images of ${width} x ${height} pixels with ${channels} channels`,
      );
    }
    const batch = prepared.length / size;
    const resultBytes = batch * resultsPerImage * 4;
    return this.#core.with([prepared.length, resultBytes], (pixels, results) => {
      this.#core.bytes(pixels, prepared.length).set(prepared);
      this.#core.call(name, this.#model, pixels, batch, results);
      return this.#core.bytes(results, resultBytes).slice().buffer;
    });
  }
}

export async function load(file, options = {}) {
  const [bytes, module] = await Promise.all([readBytes(file), compiled(options.wasm)]);
  const core = new Core(module);
  const model = core.with([bytes.length, 4], (data, result) => {
    core.bytes(data, bytes.length).set(bytes);
    core.call("bitvit_load_memory", data, bytes.length, 0, result);
    return core.view().getUint32(result, true);
  });
  return new Model(core, model);
}
