// What the user does: models and pictures that come by drop, choice, paste or camera.

const THUMBNAIL = 96;
const state = { facts: undefined, pictures: [], current: undefined, stream: undefined };

function say(text) {
  $("message").textContent = text;
  $("message").hidden = text === "";
}

function describe(error, name) {
  const kind = error.name && error.name !== "Error" ? `${error.name}: ` : "";
  return `${name}: ${kind}${error.message}`;
}

// One after the other, whatever the user does meanwhile.
let queue = Promise.resolve();
function enqueue(task) {
  queue = queue.then(task).catch((error) => say(describe(error, "error")));
  return queue;
}

async function openModel(name, bytes) {
  try {
    state.facts = await ask("load", { bytes });
  } catch (error) {
    say(describe(error, name)); // the model before it stays
    return false;
  }
  showFacts(name, bytes.length, state.facts);
  $("engine").textContent = `Engine: WebAssembly, ${state.facts.isa}, one thread.`;
  for (const picture of state.pictures) picture.caption.textContent = "";
  clearAnswer();
  await showPicture(state.current ?? state.pictures[0]);
  return true;
}

async function runOn(pixels, isLive = false) {
  if (state.facts === undefined) return undefined;
  const answer = await ask("run", { picture: pixels, isLive });
  showAnswer(answer, state.facts);
  return answer;
}

async function showPicture(picture) {
  if (picture === undefined) return;
  state.current = picture;
  for (const other of state.pictures) other.button.setAttribute("aria-current", String(other === picture));
  $("empty").hidden = true;
  try {
    const pixels = await decode(picture.blob);
    paint($("photo"), pixels.data, pixels.width, pixels.height);
    $("photo").setAttribute("aria-label", picture.name);
    const answer = await runOn(pixels);
    if (answer) picture.caption.textContent = $("best").textContent;
    if (answer) picture.button.dataset.digest = answer.digest;
  } catch (error) {
    say(describe(error, picture.name));
  }
}

async function addPicture(blob, name) {
  let pixels;
  try {
    pixels = await decode(blob);
  } catch {
    say(`${name}: neither a .bitvit file nor a picture that this browser can read`);
    return undefined;
  }
  const canvas = element("canvas", { width: THUMBNAIL, height: THUMBNAIL });
  const scale = Math.min(THUMBNAIL / pixels.width, THUMBNAIL / pixels.height);
  const [width, height] = [pixels.width, pixels.height].map((side) => Math.max(1, Math.round(side * scale)));
  const whole = element("canvas");
  paint(whole, pixels.data, pixels.width, pixels.height);
  const context = canvas.getContext("2d");
  context.imageSmoothingEnabled = scale < 1;
  context.drawImage(whole, (THUMBNAIL - width) / 2, (THUMBNAIL - height) / 2, width, height);
  const caption = element("span");
  const button = element("button", { type: "button", title: name }, canvas, caption);
  button.setAttribute("aria-label", name);
  const picture = { blob, name, button, caption };
  button.onclick = () => enqueue(async () => {
    stopCamera();
    say("");
    await showPicture(picture);
  });
  state.pictures.push(picture);
  $("strip").append(element("li", {}, button));
  return picture;
}

// Models first, so that pictures that came with one are run on it. The last picture is shown.
async function openFiles(files) {
  say("");
  stopCamera();
  const isModel = ({ name }) => name.toLowerCase().endsWith(".bitvit");
  for (const file of files.filter(isModel)) {
    if (await openModel(file.name, new Uint8Array(await file.arrayBuffer()))) addChoice(file.name, file);
  }
  for (const file of files.filter((file) => !isModel(file))) await showPicture(await addPicture(file, file.name));
}

// ---- The choice of models -------------------------------------------------------------------------------------------

const choices = [];

function addChoice(name, source) {
  let index = choices.findIndex((choice) => choice.name === name);
  if (index < 0) {
    index = choices.push({ name, source }) - 1;
    $("model-choice").append(element("option", { value: String(index), textContent: name.replace(/\.bitvit$/, "") }));
  }
  choices[index].source = source;
  $("model-choice").hidden = choices.length < 2;
  $("model-choice").value = String(index);
}

// A model that came with the page brings pictures to try it on.
async function openChoice(choice) {
  const { name, source, samples = [] } = choice;
  for (const sample of samples.splice(0)) {
    const picture = await addPicture(new Blob([bytesOfBase64(sample.data)]), sample.name);
    choice.sample ??= picture;
  }
  state.current = choice.sample ?? state.current;
  await openModel(name, source instanceof Blob ? new Uint8Array(await source.arrayBuffer()) : bytesOfBase64(source));
}

$("model-choice").onchange = () => enqueue(() => {
  say("");
  stopCamera();
  return openChoice(choices[Number($("model-choice").value)]);
});

// ---- Camera ---------------------------------------------------------------------------------------------------------

function stopCamera() {
  if (state.stream === undefined) return;
  for (const track of state.stream.getTracks()) track.stop();
  state.stream = undefined;
  $("video").srcObject = null;
  $("video").hidden = true;
  $("photo").hidden = state.current === undefined;
  $("empty").hidden = state.current !== undefined;
  $("camera").setAttribute("aria-pressed", "false");
  clearAnswer();
}

async function startCamera() {
  const video = $("video");
  try {
    state.stream = await navigator.mediaDevices.getUserMedia({ video: { facingMode: "environment" }, audio: false });
    video.srcObject = state.stream;
    await video.play();
  } catch (error) {
    stopCamera();
    say(`the camera cannot be used: ${error.message}`);
    return;
  }
  $("camera").setAttribute("aria-pressed", "true");
  $("empty").hidden = $("photo").hidden = true;
  video.hidden = false;
  const stream = state.stream;
  while (state.stream === stream) {
    if (video.videoWidth > 0) await runOn(canvasPixels(video, video.videoWidth, video.videoHeight), true);
    await new Promise(requestAnimationFrame);
  }
}

$("camera").onclick = () => {
  say("");
  if (state.stream) enqueue(stopCamera).then(() => enqueue(() => showPicture(state.current)));
  else startCamera().catch((error) => say(describe(error, "camera")));
};

// ---- Files by choice, drop and paste --------------------------------------------------------------------------------

for (const [button, input] of [["open-model", "model-file"], ["open-pictures", "picture-files"], ["empty", "picture-files"]]) {
  $(button).onclick = () => setTimeout(() => $(input).click()); // during Enter's own event Chromium opens nothing
}
for (const input of [$("model-file"), $("picture-files")]) {
  input.onchange = () => {
    const files = [...input.files];
    input.value = ""; // so that the same file can be chosen again
    enqueue(() => openFiles(files));
  };
}
$("opacity").oninput = () => ($("mask").style.opacity = $("opacity").value / 100);
$("mask").style.opacity = $("opacity").value / 100;

let depth = 0; // of dragenter without its dragleave: each element on the way has one
addEventListener("dragenter", (event) => {
  event.preventDefault();
  depth++;
  $("dropping").hidden = false;
});
addEventListener("dragleave", () => {
  depth = Math.max(0, depth - 1);
  $("dropping").hidden = depth === 0;
});
addEventListener("dragover", (event) => event.preventDefault());
addEventListener("drop", (event) => {
  event.preventDefault();
  depth = 0;
  $("dropping").hidden = true;
  const files = [...event.dataTransfer.files];
  if (files.length) enqueue(() => openFiles(files));
});
addEventListener("paste", (event) => {
  const files = [...(event.clipboardData?.files ?? [])];
  if (files.length) enqueue(() => openFiles(files));
});

// ---- Start ----------------------------------------------------------------------------------------------------------

enqueue(async () => {
  if (!navigator.mediaDevices?.getUserMedia) $("camera").hidden = true;
  try {
    await ask("start", { wasm: bytesOfBase64($("wasm").textContent) });
  } catch (error) {
    say(`this browser cannot run the engine, which needs WebAssembly with SIMD: ${error.message}`);
    return;
  }
  const { models } = JSON.parse($("contents").textContent);
  for (const { name, data, samples } of models) {
    addChoice(name, data);
    choices.at(-1).samples = samples;
  }
  if (choices.length) {
    $("model-choice").value = "0";
    await openChoice(choices[0]);
  }
  document.documentElement.dataset.ready = "true";
});
