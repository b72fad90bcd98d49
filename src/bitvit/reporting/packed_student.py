"""The student as a packed file: what packing changes, how large it is and how long an image takes."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import nn

from bitvit.bench.latency import Contender, Timing, measure
from bitvit.checkpoints import load_checkpoint
from bitvit.data import ImageSet
from bitvit.errors import ExportError
from bitvit.export import ExportReport, export_model
from bitvit.reporting.finished_run import FinishedRun
from bitvit.runtime import load
from bitvit.training.evaluation import normalize

__all__ = ["PackedStudent", "pack_student"]

_ROUNDS, _SECONDS = 60, 10.0


@dataclass(frozen=True)
class PackedStudent:
    """The packed file beside the full-precision teacher.

    Attributes:
        size_bytes: of the file.
        agreement: with the checkpoint, on the images of the report.
        timings: one image on one thread, of the teacher if there is one, and of the packed network.
    """

    size_bytes: int
    agreement: ExportReport
    timings: tuple[Timing, ...]


def pack_student(run: FinishedRun, images: ImageSet) -> PackedStudent | str:
    """Pack the student, compare it on images, and time it.

    Args:
        run: whose student.
        images: labelled.

    Returns:
        The figures, or why the network cannot be packed.
    """
    with tempfile.TemporaryDirectory(prefix="bitvit-report-") as folder:
        path = Path(folder) / "student.bitvit"
        try:
            agreement = export_model(
                run.student,
                path,
                labels=run.info.labels,
                preprocessing=run.info.preprocessing,
                images=images.batches(run.info.preprocessing, 64),
                threads=1,
                task=run.info.task,
                colors=run.info.colors,
            )
        except ExportError as error:
            return str(error)
        size = path.stat().st_size
        pixels, _ = next(images.batches(run.info.preprocessing, 1))
        packed = load(path, threads=1)
        contenders = [Contender("1-bit packed", lambda: packed.engine.run(pixels), size)]
    teacher = run.folder / "teacher.safetensors"
    if teacher.is_file():
        model, info = load_checkpoint(teacher)
        if info.preprocessing.image_size == run.info.preprocessing.image_size:
            floats = normalize(torch.from_numpy(pixels), info.preprocessing)
            weights = sum(value.numel() * value.element_size() for value in model.state_dict().values())
            contenders.insert(0, Contender("full precision (PyTorch)", _inference(model, floats), weights))
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        timings = measure(contenders, rounds=_ROUNDS, seconds=_SECONDS)
    finally:
        torch.set_num_threads(threads)
    return PackedStudent(size, agreement, tuple(timings))


def _inference(model: nn.Module, batch: torch.Tensor) -> Callable[[], np.ndarray]:
    model.eval()

    @torch.inference_mode()
    def run() -> np.ndarray:
        output: np.ndarray = model(batch).float().numpy()
        return output

    return run
