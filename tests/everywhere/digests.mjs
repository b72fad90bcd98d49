// Prints what the npm package says of pictures: node digests.mjs FILE.bitvit PICTURE.ppm... The calls are those of docs/web.md.
import { readFile } from "node:fs/promises";
import { load } from "bitvit";

function digest(bytes) {
  let hash = 0xcbf29ce484222325n;
  for (const byte of bytes) hash = BigInt.asUintN(64, (hash ^ BigInt(byte)) * 0x100000001b3n);
  return hash.toString(16).padStart(16, "0");
}

async function readPicture(path) {
  const bytes = await readFile(path);
  const [header, kind, width, height] = /^(P[56])\s+(\d+)\s+(\d+)\s+255\s/.exec(bytes.toString("latin1", 0, 64));
  const channels = kind === "P6" ? 3 : 1;
  const data = new Uint8Array(bytes.subarray(header.length));
  return { data, width: Number(width), height: Number(height), channels };
}

const [file, ...paths] = process.argv.slice(2);
const model = await load(file);
for (const path of paths) {
  const picture = await readPicture(path);
  if (model.task === "segmentation") {
    console.log(digest(model.predict(picture).labelMap));
    continue;
  }
  const logits = model.logits(model.prepare(picture));
  const { index, label } = model.predict(picture);
  if (index !== logits.indexOf(Math.max(...logits)) || label !== model.labels[index]) throw new Error(`${path}: ${label}`);
  console.log(digest(new Uint8Array(logits.buffer)));
}
