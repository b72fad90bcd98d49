// Shows what a network says. Names come from files that need not be trusted: they become text, never HTML.

const $ = (id) => document.getElementById(id);

function element(name, properties = {}, ...children) {
  const made = Object.assign(document.createElement(name), properties);
  made.append(...children);
  return made;
}

function percent(share) {
  return share > 0 && share < 0.001 ? "< 0.1 %" : `${(100 * share).toFixed(1)} %`;
}

function milliseconds(ms) {
  return `${ms < 1 ? ms.toFixed(2) : ms < 10 ? ms.toFixed(1) : Math.round(ms)} ms`;
}

function bytesText(size) {
  return size < 1e6 ? `${Math.round(size / 1e3)} kB` : `${(size / 1e6).toFixed(1)} MB`;
}

function showBars(entries) {
  $("bars").replaceChildren(
    ...entries.map(({ name, share, color }) => {
      const label = element("span", { className: "name" });
      if (color) label.append(Object.assign(element("span", { className: "swatch" }), { style: `background: rgb(${color.join(" ")})` }));
      label.append(name);
      const fill = element("span", { className: "fill" });
      fill.style.width = `${100 * share}%`;
      if (color) fill.style.background = `rgb(${color.join(" ")})`;
      const share_ = element("span", { className: "share", textContent: percent(share) });
      return element("li", {}, label, share_, element("span", { className: "track" }, fill));
    }),
  );
}

function showAnswer(answer, facts) {
  const { width, height, channels } = facts.inputSize;
  paint($("prepared"), rgbaOf(answer.prepared, channels), width, height);
  $("seen").hidden = false;
  const kind = { 1: "grey", 3: "colour", 4: "colour with opacity" }[channels];
  $("seen-caption").textContent = `as the network sees it: ${width} × ${height}, ${kind}`;
  const preparation = ` + ${milliseconds(answer.prepareMs)} to resize the picture`;
  $("time").replaceChildren(element("b", { textContent: milliseconds(answer.ms) }), ` in the network${preparation}`);
  $("mask").hidden = $("opacity-label").hidden = answer.task !== "segmentation";
  $("logits-box").hidden = answer.task === "segmentation" || answer.digest === "";
  if (answer.task === "segmentation") showSegmentation(answer, facts);
  else showClassification(answer, facts);
}

function showClassification({ top, logits, digest }, { labels }) {
  $("best").textContent = top[0].label;
  $("confidence").textContent = `probability ${percent(top[0].probability)}`;
  showBars(top.map(({ label, probability }) => ({ name: label, share: probability })));
  $("digest").textContent = digest;
  if (digest === "") return;
  // Nine digits give back every float of 32 bits.
  const rows = labels.map((label, i) => element("tr", {}, element("td", { textContent: label }), element("td", { textContent: logits[i].toPrecision(9) })));
  $("logits").tBodies[0].replaceChildren(...rows);
}

function showSegmentation({ labelMap, width, height, counts }, { labels, colors }) {
  const shares = labels
    .map((name, i) => ({ name, share: counts[i] / labelMap.length, color: colors[i] }))
    .filter(({ share }) => share > 0)
    .sort((a, b) => b.share - a.share);
  $("best").textContent = shares[0].name;
  $("confidence").textContent = `the largest part of the picture: ${percent(shares[0].share)}`;
  showBars(shares);
  paint($("mask"), colored(labelMap, colors), width, height);
}

function clearAnswer() {
  $("best").textContent = "–";
  $("confidence").textContent = "\u00a0";
  $("bars").replaceChildren();
  $("time").textContent = "";
  for (const id of ["seen", "mask", "opacity-label", "logits-box"]) $(id).hidden = true;
}

function showFacts(name, size, facts) {
  const { task, labels, inputSize, provenance } = facts;
  const { data, date, model, recipe, bitvit_version: version } = provenance;
  const [metrics, agreement] = [provenance.metrics ?? {}, provenance.agreement ?? {}]; // a file may say null
  const channels = { 1: "grey", 3: "RGB", 4: "RGBA" }[inputSize.channels];
  const scores = { top1: "top-1", miou: "mIoU", pixel_accuracy: "pixel accuracy" };
  const score = Object.keys(scores).find((key) => typeof metrics[key] === "number");
  const isNumber = typeof agreement.identical_predictions === "number";
  const rows = [
    ["file", `${name}, ${bytesText(size)}`],
    ["task", task],
    ["input", `${inputSize.width} × ${inputSize.height} ${channels}`],
    ["network", model],
    ["trained on", typeof data === "object" ? data?.name : data],
    [score ? `${scores[score]} on its validation images` : "", score && percent(metrics[score])],
    ["same predictions as in training", isNumber && `${percent(agreement.identical_predictions)} of ${agreement.images}`],
    ["recipe", recipe],
    ["exported", [date, version && `bitvit ${version}`].filter(Boolean).join(", ")],
    [`${labels.length} classes`, labels.slice(0, 20).join(", ") + (labels.length > 20 ? ", …" : "")],
  ];
  const shown = rows.filter(([key, value]) => key && (typeof value === "string" || typeof value === "number") && value !== "");
  $("facts").replaceChildren(
    ...shown.map(([key, value]) => element("div", {}, element("dt", { textContent: key }), element("dd", { textContent: String(value) }))),
  );
  $("model-name").textContent = name.replace(/\.bitvit$/, "");
  const pixels = `${inputSize.width} × ${inputSize.height}`;
  $("model-line").textContent = `A 1-bit vision transformer: ${task}, ${labels.length} classes, ${pixels} pixels, ${bytesText(size)}`;
  document.title = `${name} – bitvit`;
}
