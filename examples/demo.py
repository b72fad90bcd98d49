"""From images to a 1-bit network that runs without PyTorch, in minutes on two CPU cores.

Trains a small full-precision DeiT and, from it, its 1-bit GSB student on scikit-learn's digits at 32 x 32 pixels;
exports the student to one file; predicts the held-out digits with the packed engine; and shows accuracy, size and speed
side by side.

    make demo
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console

import bitvit
from bitvit.bench.figures import comparison_figure
from bitvit.bench.latency import Contender, machine, measure
from bitvit.checkpoints import load_checkpoint
from bitvit.cli import main as bitvit_command
from bitvit.cli.output import format_bytes, table
from bitvit.training import Recipe, data_of, train
from bitvit.training.evaluation import normalize


def main() -> int:
    """Run the demonstration and return its exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("runs/demo"), help="folder for everything that is written")
    parser.add_argument("--recipe", default="gsb-demo", help="a packaged recipe or a YAML file")
    parser.add_argument("overrides", nargs="*", metavar="section.key=value", help="values that replace the recipe's")
    arguments = parser.parse_args()
    console = Console()
    start = time.perf_counter()

    console.rule("1. Train: full-precision teacher, then the 1-bit student in two stages")
    recipe = Recipe.load(arguments.recipe, arguments.overrides)
    run = arguments.out / "run"
    report = train(recipe, run, resume=True, progress=True)  # run again, it continues after the last finished step

    console.rule("2. Export: one packed file, compared with the checkpoint")
    packed_file = arguments.out / "digits.bitvit"
    code = bitvit_command(["export", str(run), str(packed_file)])
    if code != 0:
        return code

    console.rule("3. Run: the held-out images with the packed engine")
    rows = compare(recipe, run, packed_file)
    seconds = time.perf_counter() - start
    result = {
        "recipe": recipe.name,
        "data": recipe.data.name,
        "training_images": report.train_images,
        "test_images": report.val_images,
        "rows": rows["rows"],
        "identical_predictions": rows["identical_predictions"],
        "minutes": round(seconds / 60, 2),
        "machine": machine(),
        "bitvit": bitvit.__version__,
    }
    (arguments.out / "report.json").write_text(json.dumps(result, indent=2) + "\n", "utf-8")
    comparison_figure(
        rows["rows"],
        f"{recipe.data.name}: {report.val_images} held-out images, one thread, {result['machine']['cpu']}",
        arguments.out / "demo.png",
    )
    console.print(_table(result))
    console.print(
        f"{rows['identical_predictions']:.2%} of the packed predictions are those of PyTorch. "
        f"{seconds / 60:.1f} minutes in all; figure, report and models are in {arguments.out}/",
        highlight=False,
    )
    return 0


def compare(recipe: Recipe, run: Path, packed_file: Path) -> dict[str, Any]:
    """Judge the three forms of the network on the held-out images, and time one image at a time on one thread."""
    torch.set_num_threads(1)
    images = data_of(recipe).val
    teacher, teacher_info = load_checkpoint(run / "teacher.safetensors")
    student, info = load_checkpoint(run)
    predictor = bitvit.load(packed_file, threads=1)

    pixels = np.concatenate([batch for batch, _ in images.batches(info.preprocessing, 256)])
    floats = normalize(torch.from_numpy(pixels), info.preprocessing)
    teacher_floats = normalize(torch.from_numpy(pixels), teacher_info.preprocessing)
    with torch.inference_mode():
        logits = [teacher(teacher_floats).numpy(), student(floats).numpy(), predictor.logits(pixels)]
    accuracies = [float((one.argmax(1) == images.targets).mean()) for one in logits]

    @torch.inference_mode()
    def run_torch(model: torch.nn.Module, batch: torch.Tensor) -> None:
        model(batch)

    timings = measure(
        [
            Contender("full precision", lambda: run_torch(teacher, teacher_floats[:1]), _weight_bytes(teacher)),
            Contender("1-bit in PyTorch", lambda: run_torch(student, floats[:1]), _weight_bytes(student)),
            Contender("1-bit packed", lambda: predictor.logits(pixels[:1]), packed_file.stat().st_size),
        ],
        rounds=200,
        seconds=20,
    )
    return {
        "rows": [
            {
                "name": timing.name,
                "accuracy": accuracy,
                "size_bytes": timing.size_bytes,
                "latency_ms": timing.median_ms,
                "latency_quartiles_ms": [timing.quartile_ms, timing.third_quartile_ms],
            }
            for timing, accuracy in zip(timings, accuracies, strict=True)
        ],
        "identical_predictions": float((logits[1].argmax(1) == logits[2].argmax(1)).mean()),
    }


def _weight_bytes(model: torch.nn.Module) -> int:
    return sum(parameter.numel() * parameter.element_size() for parameter in model.parameters())


def _table(result: dict[str, Any]) -> Any:
    first = result["rows"][0]
    rows = [
        [
            row["name"],
            f"{row['accuracy']:.2%}",
            format_bytes(row["size_bytes"]),
            f"{first['size_bytes'] / row['size_bytes']:.1f}x",
            f"{row['latency_ms']:.3f}",
            f"{first['latency_ms'] / row['latency_ms']:.1f}x",
        ]
        for row in result["rows"]
    ]
    title = f"{result['data']}: {result['test_images']} held-out images, batch 1, one thread"
    return table(title, ["", "accuracy", "size", "smaller", "ms per image", "faster"], rows)


if __name__ == "__main__":
    sys.exit(main())
