/** Pixels of a photo: RGBA as in a canvas's ImageData, or RGB or grey (told by their number). */
export interface Picture {
  data: Uint8Array | Uint8ClampedArray;
  width: number;
  height: number;
  /** EXIF's number, 1 to 8; upright by default. */
  orientation?: number;
}

export interface Ranked {
  label: string;
  index: number;
  /** Softmax of the logits. */
  probability: number;
}

/** The answer of a classification: the most probable class, and the next ones. */
export interface Prediction extends Ranked {
  top: Ranked[];
}

/** The answer of a segmentation: the class of each pixel of the upright photo, row by row. */
export interface Segmentation {
  labelMap: Uint8Array;
  width: number;
  height: number;
}

export class BitvitError extends Error {
  /** Name of the violated rule, such as "ChecksumError": the same as in Python. */
  readonly code: string;
}

export class Model {
  readonly task: "classification" | "segmentation";
  readonly labels: string[];
  /** Red, green, blue of each class. */
  readonly colors: [number, number, number][];
  readonly inputSize: { width: number; height: number; channels: number };
  /** What the file says of its origin. */
  readonly provenance: Record<string, unknown>;
  /** Instruction set in use: "simd128". */
  readonly isa: string;

  predict(picture: Picture, options?: { top?: number }): Prediction | Segmentation;
  /** The bytes that the network sees of a photo. */
  prepare(picture: Picture): Uint8Array;
  /** Logits of prepared pixels, [images][classes]. */
  logits(prepared: Uint8Array): Float32Array;
  /** Class numbers of prepared pixels of a segmentation, [images][cells]. */
  classes(prepared: Uint8Array): Int32Array;
  free(): void;
}

export interface LoadOptions {
  /** bitvit.wasm, if it does not lie beside the package. */
  wasm?: BufferSource | string | URL | WebAssembly.Module;
}

/** Reads and checks a .bitvit file. */
export function load(file: BufferSource | string | URL, options?: LoadOptions): Promise<Model>;
