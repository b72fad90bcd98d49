"""`bitvit bench`: a packed network against the same architecture in other engines."""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path
from typing import Any

from bitvit.cli._arguments import positive
from bitvit.cli._output import format_bytes, print_json, print_note, print_table, table
from bitvit.errors import UsageError

HELP = "time a .bitvit file against PyTorch, ONNX Runtime and OpenVINO, interleaved in one run"
EXAMPLES = (
    "bitvit bench digits.bitvit",
    "bitvit bench digits.bitvit --threads 2 --batch 8 --figure bench.png",
    "bitvit bench --model gsb_deit_small_patch16_224 --json",
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("file", metavar="FILE", type=Path, nargs="?", help="a .bitvit file")
    parser.add_argument("--model", metavar="NAME", help="a registered model with random weights instead of a file")
    parser.add_argument("--threads", type=positive, default=1, metavar="T", help="threads of every engine (default 1)")
    parser.add_argument("--batch", type=positive, default=1, metavar="B", help="images at a time (default 1)")
    parser.add_argument("--rounds", type=positive, default=20, metavar="N", help="runs of each engine (default 20)")
    parser.add_argument("--only-bitvit", action="store_true", help="leave the other engines out; PyTorch is not needed")
    parser.add_argument("--figure", type=Path, metavar="PNG", help="write a bar chart")
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(arguments: argparse.Namespace) -> int:
    """Time every engine that is installed on the same batch."""
    from bitvit.analysis import latency

    if (arguments.file is None) == (arguments.model is None):
        raise UsageError("give either a .bitvit file or --model NAME")
    with tempfile.TemporaryDirectory(prefix="bitvit-bench-") as folder:
        contenders, facts = _contenders(arguments, Path(folder))
        timings = latency.measure(contenders, rounds=arguments.rounds)
    document: dict[str, Any] = {
        **facts,
        "threads": arguments.threads,
        "batch": arguments.batch,
        "machine": latency.machine(),
        "results": [timing.to_dict() for timing in timings],
    }
    if arguments.figure:
        from bitvit.analysis.figures import latency_figure

        latency_figure(timings, f"{facts['name']}, {arguments.threads} thread(s)", arguments.batch, arguments.figure)
        print_note(f"wrote {arguments.figure}")
    if arguments.json:
        print_json(document)
        return 0
    first = timings[0].median_ms
    rows = [
        [
            timing.name,
            f"{timing.median_ms / arguments.batch:.3f}",
            f"{timing.quartile_ms / arguments.batch:.3f} to {timing.third_quartile_ms / arguments.batch:.3f}",
            f"{timing.median_ms / first:.1f}x",
            "" if timing.size_bytes is None else format_bytes(timing.size_bytes),
        ]
        for timing in timings
    ]
    title = f"{facts['name']}: batch {arguments.batch}, {arguments.threads} thread(s), {document['machine']['cpu']}"
    print_table(table(title, ["engine", "ms/image (median)", "quartiles", "time against bitvit", "size"], rows))
    return 0


def _contenders(arguments: argparse.Namespace, folder: Path) -> tuple[list[Any], dict[str, Any]]:
    """Return the engines to time, bitvit first, and what to call the network."""
    import numpy as np

    from bitvit.analysis.latency import Contender
    from bitvit.program import read_file
    from bitvit.runtime import Engine

    if arguments.file is not None:
        file = read_file(arguments.file)
        program, tensors = file.program, file.tensors
        size = arguments.file.stat().st_size
        name = file.provenance.get("model")
        architecture = file.provenance.get("architecture")
    else:
        from bitvit.export import build_program, pack
        from bitvit.models import create_model

        name, architecture = arguments.model, None
        model = create_model(name).eval()
        program, tensors = build_program(pack(model))
        size = sum(tensor.nbytes for tensor in tensors.values())
    engine = Engine(program, tensors, threads=arguments.threads)
    shape = program.values[program.input].shape
    images = np.random.default_rng(0).integers(0, 256, (arguments.batch, *shape), np.uint8)
    contenders = [Contender("bitvit 1-bit", lambda: engine.run(images), size)]
    facts = {"name": str(arguments.file or name), "model": name, "isa": engine.isa}
    if arguments.only_bitvit:
        return contenders, facts
    if arguments.file is not None:
        if not isinstance(architecture, dict):
            print_note(
                "the file does not say how its model is built, so there is no full-precision network to compare with"
            )
            return contenders, facts
        from bitvit.training.building import ModelSpec, build_model

        model = build_model(ModelSpec(**architecture))
    from bitvit.analysis.contenders import rivals
    from bitvit.analysis.float_twin import float_twin

    twin = float_twin(model)
    floats = np.ascontiguousarray(images.transpose(0, 3, 1, 2).astype(np.float32) / 127.5 - 1.0)
    contenders += rivals(twin, floats, arguments.threads, folder, print_note)
    return contenders, facts
