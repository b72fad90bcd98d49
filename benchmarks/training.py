"""Time and peak memory of a training step, against the same step of the full-precision model.

python benchmarks/training.py --model gsb_deit_small_patch16_224 --batch 8 --json

A step is what `bitvit train` does in stage 2: forward, cross entropy of both heads, backward, AdamW. The two models run
in turns, in one process, so that the ratio is that of one run. Memory is the largest sum of tensors that lived at once
during a step: weights, gradients, moments, activations. On a GPU PyTorch's allocator knows it; on a CPU it is summed
over the allocations that the profiler records.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from typing import Any

import torch
from timm.models.deit import VisionTransformerDistilled
from torch import nn
from torch.nn import functional as F
from torch.profiler import ProfilerActivity, profile

from bitvit.bench.latency import machine
from bitvit.errors import BitvitError, UsageError
from bitvit.layers import calibrate
from bitvit.models import create_model, set_stage, teacher_of
from bitvit.training.compilation import compile_for_training
from bitvit.training.cuda_graphs import capture_passes

CLASSES = 100
WARM_UP = 2


@dataclass(frozen=True)
class Row:
    """One way to train, both models."""

    mode: str
    precision: str
    images_per_second: float
    floor_images_per_second: float
    time_ratio: float
    peak_bytes: int
    floor_peak_bytes: int
    memory_ratio: float


def build(name: str, device: torch.device, depth: int | None) -> nn.Module:
    """A model in training mode; a binary one in stage 2 with calibrated scales."""
    kwargs = {} if depth is None else {"depth": depth}
    model = create_model(name, num_classes=CLASSES, **kwargs)  # type: ignore[arg-type]
    if is_binary(model):
        set_stage(model, "full")
        calibrate(model, torch.randn(2, *input_size(model)))
    if isinstance(model, VisionTransformerDistilled):
        model.set_distilled_training(True)
    return model.train().to(device)


def is_binary(model: nn.Module) -> bool:
    """Tell bitvit's models from the full-precision ones of timm, which are compiled as timm's users do."""
    return hasattr(model, "binarization_scheme")


def input_size(model: nn.Module) -> tuple[int, int, int]:
    """Channels, height and width of a model's images."""
    channels, height, width = vars(model)["pretrained_cfg"]["input_size"]
    return channels, height, width


def step_of(model: nn.Module, batch: int, device: torch.device, mode: str, precision: str) -> Callable[[], None]:
    """One step of training as a function."""
    images = torch.randn(batch, *input_size(model), device=device)
    labels = torch.randint(0, CLASSES, (batch,), device=device)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-5, fused=True)
    if mode == "compile":
        compile_for_training(model) if is_binary(model) else model.compile()
    if mode == "graphs":
        capture_passes(model, images)

    def step() -> None:
        half = torch.autocast(device.type, torch.bfloat16) if precision == "bf16" else nullcontext()
        with half:
            outputs = model(images)
            heads = outputs if isinstance(outputs, tuple) else (outputs,)
            loss = torch.stack([F.cross_entropy(logits, labels) for logits in heads]).mean()
        torch.autograd.backward(loss)
        optimizer.step()
        optimizer.zero_grad()
        if device.type == "cuda":
            torch.cuda.synchronize()

    return step


def resident_bytes(model: nn.Module) -> int:
    """Weights and both moments of AdamW, which live outside of a step."""
    return sum(3 * value.nbytes for value in model.parameters()) + sum(value.nbytes for value in model.buffers())


def peak_bytes(step: Callable[[], None], model: nn.Module, device: torch.device) -> int:
    """The largest sum of tensors during a step."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        step()
        return resident_bytes(model) + torch.cuda.max_memory_allocated() - before
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as recorded:
        step()
    results: Any = recorded.profiler
    changes = [event for event in results.kineto_results.events() if event.name() == "[memory]"]
    now = highest = 0
    for event in sorted(changes, key=lambda event: event.start_ns()):
        now += event.nbytes()
        highest = max(highest, now)
    return resident_bytes(model) + highest


def compare(arguments: argparse.Namespace, mode: str, precision: str, device: torch.device) -> Row:
    """Measure both models in turns."""
    torch.manual_seed(0)
    torch.compiler.reset()
    names = (arguments.model, arguments.floor)
    models = [build(name, device, arguments.depth) for name in names]
    steps = [step_of(model, arguments.batch, device, mode, precision) for model in models]
    for step in steps:
        for _ in range(WARM_UP):
            step()
    seconds: list[list[float]] = [[], []]
    for _ in range(arguments.rounds):
        for step, times in zip(steps, seconds, strict=True):
            start = time.perf_counter()
            step()
            times.append(time.perf_counter() - start)
    ours, floor = (statistics.median(times) for times in seconds)
    own_bytes, floor_bytes = (peak_bytes(step, model, device) for step, model in zip(steps, models, strict=True))
    return Row(
        mode,
        precision,
        arguments.batch / ours,
        arguments.batch / floor,
        ours / floor,
        own_bytes,
        floor_bytes,
        own_bytes / floor_bytes,
    )


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="gsb_deit_small_patch16_224")
    parser.add_argument("--floor", help="the full-precision model (default: that of the model's shape)")
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--depth", type=int, help="build both with so many blocks only")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--modes", nargs="+", choices=("eager", "compile", "graphs"), default=("eager", "compile"))
    parser.add_argument("--precisions", nargs="+", choices=("fp32", "bf16"), default=("fp32", "bf16"))
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--json", action="store_true", help="print JSON")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    device = torch.device(arguments.device)
    try:
        arguments.floor = arguments.floor or teacher_of(arguments.model)
        if arguments.floor is None:
            raise UsageError(f"{arguments.model} has no full-precision model of its shape: name one with --floor")
        rows = []
        for precision in arguments.precisions:
            for mode in arguments.modes:
                rows.append(compare(arguments, mode, precision, device))
                print(f"measured {mode} {precision}", file=sys.stderr)
    except BitvitError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    if arguments.json:
        hardware = torch.cuda.get_device_name() if device.type == "cuda" else machine()["cpu"]
        settings = {key: getattr(arguments, key) for key in ("model", "floor", "batch", "depth", "threads", "rounds")}
        print(json.dumps({**settings, "device": hardware, "rows": [asdict(row) for row in rows]}, indent=2))
        return 0
    print("| | images/s | full precision | time | peak memory | full precision | memory |")
    print("|---|---|---|---|---|---|---|")
    for row in rows:
        print(
            f"| {row.mode} {row.precision} | {row.images_per_second:.1f} | {row.floor_images_per_second:.1f} | "
            f"{row.time_ratio:.2f}x | {row.peak_bytes / 2**20:.0f} MiB | {row.floor_peak_bytes / 2**20:.0f} MiB | "
            f"{row.memory_ratio:.2f}x |"
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
