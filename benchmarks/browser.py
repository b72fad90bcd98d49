"""Compare bitvit in WebAssembly with onnxruntime-web, in Node and in Chromium, in one run, in turns.

npm install --prefix build/ort onnxruntime-web && make web
python benchmarks/browser.py --onnxruntime-web build/ort/node_modules/onnxruntime-web --rounds 20
python benchmarks/browser.py --where node --model bhvit_small_patch4_224 --json

One thread each (onnxruntime-web's `wasm` provider), one image. The network beside bitvit's is the full-precision one
of the same architecture (`bitvit.bench`), in float32, and in int8 as ONNX Runtime quantizes it, dynamically and
statically. bitvit starts from bytes, the others from normalized floats. Sizes are those that a browser loads.
"""

from __future__ import annotations

import argparse
import functools
import gzip
import json
import shutil
import statistics
import subprocess
import tempfile
import threading
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).parents[1]
MEASURE = Path(__file__).with_suffix(".mjs")
NAMES = {
    "bitvit": "bitvit",
    "fp32.onnx": "onnxruntime-web fp32",
    "int8_dynamic.onnx": "onnxruntime-web int8 dynamic",
    "int8_static.onnx": "onnxruntime-web int8 static",
}

NODE = """
import { readFile } from "node:fs/promises";
import * as bitvit from "./bitvit/index.js";
import * as ort from "onnxruntime-web";
import { measure } from "./measure.mjs";
const [rounds, ...files] = process.argv.slice(2);
const sources = {};
for (const file of files) sources[file] = new Uint8Array(await readFile(file));
console.log(JSON.stringify(await measure(bitvit, ort, null, sources, Number(rounds))));
"""

BROWSER = """
async ([rounds, files]) => {
  const bitvit = await import("/bitvit/index.js");
  const ort = await import("/node_modules/onnxruntime-web/dist/ort.wasm.min.mjs");
  const { measure } = await import("/measure.mjs");
  const sources = {};
  for (const file of files) sources[file] = new Uint8Array(await (await fetch("/" + file)).arrayBuffer());
  return measure(bitvit, ort, "/node_modules/onnxruntime-web/dist/", sources, rounds);
}
"""


def write_networks(model: str, folder: Path) -> list[str]:
    """Write the packed file and the ONNX files of a registered model with random weights; returns their names."""
    import torch

    from bitvit.bench.baselines.onnx_runtime import int8_dynamic
    from bitvit.bench.baselines.setting import Setting
    from bitvit.bench.float_twin import float_twin
    from bitvit.bench.subject import subject_of_model

    torch.manual_seed(0)
    subject = subject_of_model(model)
    subject.write(folder)
    height, width = subject.image_size
    assert subject.build is not None
    images = np.random.default_rng(0).uniform(-1, 1, (1, 3, height, width)).astype(np.float32)
    setting = Setting(float_twin(subject.build(None)).eval(), images, 1, folder)
    int8_dynamic(setting)
    return [
        "model.bitvit",
        *(path.name for path in (setting.onnx_file, folder / "int8_dynamic.onnx", setting.static_int8_file)),
    ]


def in_node(folder: Path, files: list[str], rounds: int) -> Any:
    """Measure in Node."""
    (folder / "node.mjs").write_text(NODE)
    command = ["node", "node.mjs", str(rounds), *files]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"error: Node failed:\n{done.stderr[-2000:]}")
    return json.loads(done.stdout.splitlines()[-1])


class _Files(SimpleHTTPRequestHandler):
    def guess_type(self, path: object) -> str:
        """Modules and WebAssembly by their names, whatever the system's list says."""
        kinds = {".mjs": "text/javascript", ".js": "text/javascript", ".wasm": "application/wasm"}
        return kinds.get(Path(str(path)).suffix, "text/html")

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def in_chromium(folder: Path, files: list[str], rounds: int) -> Any:
    """Measure in Chromium."""
    from playwright.sync_api import sync_playwright

    (folder / "index.html").write_text("<!doctype html><title>bitvit</title>")
    server = ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(_Files, directory=str(folder)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
            page = browser.new_page()
            page.set_default_timeout(1_800_000)
            page.goto(f"http://127.0.0.1:{server.server_address[1]}/index.html")
            found = page.evaluate(BROWSER, [rounds, files])
            browser.close()
            return found
    finally:
        server.shutdown()


def summary(results: Any, folder: Path) -> list[dict[str, Any]]:
    """Return a row for each network: minimum and median in milliseconds, and how often bitvit is faster."""
    own = results["bitvit"]["milliseconds"]
    rows = []
    for file, name in NAMES.items():
        times = results[file]["milliseconds"]
        size = (folder / ("model.bitvit" if file == "bitvit" else file)).stat().st_size
        rows.append(
            {
                "network": name,
                "minimum_ms": min(times),
                "median_ms": statistics.median(times),
                "times_bitvit": min(times) / min(own),
                "median_times_bitvit": statistics.median(t / o for t, o in zip(times, own, strict=True)),
                "network_bytes": size,
            }
        )
    return rows


def main() -> None:
    """Measure and print a table for each place."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="gsb_deit_small_patch16_224", help="a registered model (%(default)s)")
    parser.add_argument("--package", type=Path, default=ROOT / "build/web/package", help="what make web builds")
    parser.add_argument(
        "--onnxruntime-web", type=Path, default=ROOT / "build/ort/node_modules/onnxruntime-web", metavar="FOLDER"
    )
    parser.add_argument("--where", nargs="+", choices=("node", "chromium"), default=["node", "chromium"])
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--json", action="store_true", help="print JSON instead of tables")
    arguments = parser.parse_args()
    for needed, how in ((arguments.package, "make web"), (arguments.onnxruntime_web, "npm install onnxruntime-web")):
        if not needed.is_dir():
            raise SystemExit(f"error: {needed} is not there: {how}")
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        shutil.copytree(arguments.package, folder / "bitvit")
        (folder / "node_modules").symlink_to(arguments.onnxruntime_web.resolve().parent)
        shutil.copy(MEASURE, folder / "measure.mjs")
        files = write_networks(arguments.model, folder)
        ways = {"node": in_node, "chromium": in_chromium}
        tables = {where: summary(ways[where](folder, files, arguments.rounds), folder) for where in arguments.where}
        module = gzip.compress((folder / "bitvit/bitvit.wasm").read_bytes(), 9)
        theirs = gzip.compress((arguments.onnxruntime_web / "dist/ort-wasm-simd-threaded.wasm").read_bytes(), 9)
    version = json.loads((arguments.onnxruntime_web / "package.json").read_text())["version"]
    document = {"model": arguments.model, "rounds": arguments.rounds, "onnxruntime_web": version, "tables": tables}
    document |= {"bitvit_module_gzipped_bytes": len(module), "onnxruntime_module_gzipped_bytes": len(theirs)}
    if arguments.json:
        print(json.dumps(document, indent=1))
        return
    print(
        f"{arguments.model}, one thread, onnxruntime-web {version}, {arguments.rounds} rounds; modules gzipped: ",
        end="",
    )
    print(f"bitvit {len(module) / 1e3:.0f} kB, onnxruntime-web {len(theirs) / 1e6:.1f} MB")
    for where, rows in tables.items():
        print(f"\n| {where} | minimum ms | median ms | times bitvit | network MB |\n|---|---|---|---|---|")
        for row in rows:
            print(
                f"| {row['network']} | {row['minimum_ms']:.1f} | {row['median_ms']:.1f} | {row['times_bitvit']:.2f} "
                f"| {row['network_bytes'] / 1e6:.1f} |"
            )


if __name__ == "__main__":
    main()
