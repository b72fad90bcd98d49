"""From photos with masks to a 1-bit segmentation network that runs without PyTorch.

Composes scenes of digits on textured backgrounds (11 classes, 64 x 64 pixels); trains a small full-precision network
and, from it, a 1-bit BHViT with Semantic FPN; exports it to one file; and shows mIoU, size and speed side by side, and
masks.

    make demo-segmentation
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from rich.console import Console

import bitvit
from bitvit.bench.latency import Contender, machine, measure
from bitvit.checkpoints import load_checkpoint
from bitvit.cli import main as bitvit_command
from bitvit.cli.output import format_bytes, table
from bitvit.data.segmentation import SegmentationSet, write_scenes
from bitvit.tasks import Classes, task_named
from bitvit.tasks.segmentation.evaluation import label_maps
from bitvit.tasks.segmentation.figures import draw_label_maps
from bitvit.training import Recipe, data_of, train
from bitvit.training.evaluation import normalize

_SHOWN = 6


def main() -> int:
    """Run the demonstration and return its exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("runs/segmentation"), help="folder for everything written")
    parser.add_argument("--objects", choices=("digits", "fashion-mnist"), default="digits", help="what scenes show")
    parser.add_argument("--scenes", type=int, default=800, help="training scenes")
    parser.add_argument("overrides", nargs="*", metavar="section.key=value", help="values that replace the recipe's")
    arguments = parser.parse_args()
    console = Console()
    start = time.perf_counter()

    console.rule("1. Scenes: photos and masks from a seed")
    scenes = arguments.out / "scenes"
    if not (scenes / "classes.csv").is_file():
        write_scenes(scenes, arguments.objects, arguments.scenes, max(arguments.scenes // 4, 1))

    console.rule("2. Train: full-precision teacher, then the 1-bit student")
    recipe = Recipe.load("seg-micro", [f"data.folder={json.dumps(str(scenes))}", *arguments.overrides])
    run = arguments.out / "run"
    train(recipe, run, resume=True, progress=True)  # run again, it takes up what is finished

    console.rule("3. Export: one packed file, compared with the checkpoint")
    packed_file = arguments.out / "scenes.bitvit"
    code = bitvit_command(["export", str(run), str(packed_file)])
    if code != 0:
        return code

    console.rule("4. Run: the held-out scenes in three forms")
    result = compare(cast(SegmentationSet, data_of(recipe).val), run, packed_file, arguments.out / "masks.png")
    minutes = (time.perf_counter() - start) / 60
    result |= {"objects": arguments.objects, "minutes": round(minutes, 2), "machine": machine()}
    (arguments.out / "report.json").write_text(json.dumps(result, indent=2) + "\n", "utf-8")
    console.print(_table(result))
    console.print(
        f"{result['identical_pixels']:.2%} of the packed network's pixels are those of PyTorch. {minutes:.1f} minutes "
        f"in all; figure, report and models are in {arguments.out}/",
        highlight=False,
    )
    return 0


def compare(scenes: SegmentationSet, run: Path, packed_file: Path, figure: Path) -> dict[str, Any]:
    """Judge the three forms of the network on the held-out scenes, and time one image at a time on one thread."""
    torch.set_num_threads(1)
    teacher, _ = load_checkpoint(run / "teacher.safetensors")
    student, info = load_checkpoint(run)
    predictor = bitvit.load(packed_file, threads=1)
    pixels = np.concatenate([batch for batch, _ in scenes.batches(info.preprocessing, 64)])
    floats = normalize(torch.from_numpy(pixels), info.preprocessing)
    with torch.inference_mode():
        outputs = [teacher(floats).numpy(), student(floats).numpy(), predictor.outputs(pixels)]
    masks = [scenes.target(position) for position in range(len(scenes))]
    task, classes = task_named("segmentation"), Classes(scenes.labels, scenes.colors)
    evaluations = []
    for output in outputs:
        scorer = task.scorer(classes, info.preprocessing)
        scorer.add(output, masks)
        evaluations.append(scorer.result())
    maps = [label_maps(output, info.preprocessing.image_size) for output in outputs]
    figure.write_bytes(draw(scenes, {"mask": masks, "full precision": maps[0], "1 bit, packed": maps[2]}))

    @torch.inference_mode()
    def run_torch(model: torch.nn.Module) -> None:
        model(floats[:1])

    timings = measure(
        [
            Contender("full precision", lambda: run_torch(teacher), _weight_bytes(teacher)),
            Contender("1-bit in PyTorch", lambda: run_torch(student), _weight_bytes(student)),
            Contender("1-bit packed", lambda: predictor.outputs(pixels[:1]), packed_file.stat().st_size),
        ],
        rounds=100,
        seconds=20,
    )
    return {
        "scenes": len(scenes),
        "rows": [
            {"name": t.name, **evaluation.metrics(), "size_bytes": t.size_bytes, "latency_ms": t.median_ms}
            for t, evaluation in zip(timings, evaluations, strict=True)
        ],
        "identical_pixels": float((maps[1] == maps[2]).mean()),
    }


def draw(scenes: SegmentationSet, rows: dict[str, Any]) -> bytes:
    """Draw some scenes: photo, mask, and the masks of the full-precision and the packed network."""
    count = min(_SHOWN, len(scenes))
    shown = {title: labels[:count] for title, labels in rows.items()}
    return draw_label_maps(
        [scenes.image(column) for column in range(count)], shown, Classes(scenes.labels, scenes.colors)
    )


def _weight_bytes(model: torch.nn.Module) -> int:
    return sum(parameter.numel() * parameter.element_size() for parameter in model.parameters())


def _table(result: dict[str, Any]) -> Any:
    rows = [
        [
            row["name"],
            f"{row['miou']:.2%}",
            f"{row['pixel_accuracy']:.2%}",
            format_bytes(row["size_bytes"]),
            f"{row['latency_ms']:.3f}",
        ]
        for row in result["rows"]
    ]
    title = f"{result['scenes']} held-out scenes, batch 1, one thread"
    return table(title, ["", "mIoU", "pixel accuracy", "size", "ms per image"], rows)


if __name__ == "__main__":
    sys.exit(main())
