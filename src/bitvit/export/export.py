"""`export_model`: trained model -> verified `.bitvit` file."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from os import PathLike
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

import bitvit
from bitvit.export.graph import Array
from bitvit.export.lower import Lowering
from bitvit.export.pack import PackedModel, pack
from bitvit.export.passes import PASSES
from bitvit.export.verify import ExportReport, measure_agreement
from bitvit.models.output_kind import is_for_pixels
from bitvit.program import BitvitFile, Preprocessing, Program, validate, write_file
from bitvit.program.schema import Fit

Batch = tuple[npt.NDArray[np.uint8], Any]


def build_program(packed: PackedModel) -> tuple[Program, dict[str, Array]]:
    """Return the Program of a packed model, and its tensors by name.

    Traces with `torch.export`, lowers, applies the passes of `bitvit.export.passes`, and validates the result.

    Raises:
        ExportError: the model does something that has no Program operator; the message names the module.
    """
    image = torch.zeros((1, *packed.image_size, len(packed.mean)), dtype=torch.uint8)
    with torch.no_grad():
        traced = torch.export.export(packed, (image,), strict=False)
    graph = Lowering(traced).run()
    for apply in PASSES:
        apply(graph)
    program, tensors = graph.finish()
    validate(program, tensors)
    return program, tensors


def export_model(
    model: nn.Module,
    path: str | PathLike[str],
    *,
    labels: Sequence[str],
    preprocessing: Preprocessing | None = None,
    provenance: dict[str, Any] | None = None,
    images: Iterable[Batch] = (),
    threads: int | None = None,
    device: str | torch.device | None = None,
    task: str = "classification",
    colors: Sequence[tuple[int, int, int]] | None = None,
) -> ExportReport:
    """Pack a trained model, compare it with the original on data, and write it as one file.

    Args:
        model: trained binary model (stage 2 finished), on normalized float images `[B,C,H,W]`.
        path: file to write; written under a temporary name and renamed.
        labels: class names, one for each logit.
        preprocessing: how images are prepared; by default resized and cropped to the model's image size.
        provenance: stored as it is in the file, with the version and the measured agreement added.
        images: batches of uint8 images `[B,H,W,C]`, and their targets or None, to measure the agreement on.
        threads: threads of the engine during the comparison.
        device: where the model runs during the comparison, and stays; by default where it is.
        task: what the model is for.
        colors: red, green, blue of each class, where the task draws with them.

    Returns:
        The agreement, accuracies and sizes.

    Raises:
        ExportError: the model cannot be packed or traced.
        OutputError: the file cannot be written.
    """
    packed = pack(model)
    program, tensors = build_program(packed)
    file = BitvitFile(
        program,
        tensors,
        preprocessing or default_preprocessing(packed),
        list(labels),
        task=task,
        colors=None if colors is None else list(colors),
    )
    report = measure_agreement(model, file, images, threads=threads, device=device)
    origin = {**(provenance or {}), "bitvit_version": bitvit.__version__, "agreement": report.as_dict()}
    write_file(path, replace(file, provenance=origin))
    return report


def unlabelled_file(
    packed: PackedModel,
    program: Program,
    tensors: dict[str, Array],
    provenance: dict[str, Any] | None = None,
) -> BitvitFile:
    """Return a packed network as the content of a file whose classes have only numbers, to count or to time it."""
    value = program.values[program.output]
    if value.type == "i32":  # a class for each pixel
        task, classes = "segmentation", int(vars(packed.model)["num_classes"])
    else:
        task, classes = "classification", value.shape[-1]
    labels = [str(number) for number in range(classes)]
    return BitvitFile(program, tensors, default_preprocessing(packed), labels, provenance or {}, task=task)


def default_preprocessing(packed: PackedModel) -> Preprocessing:
    """Return the default preprocessing: images are resized and cropped to the model's image size."""
    height, width = packed.image_size
    stretches = is_for_pixels(packed.model)
    resize = max(height, width) if stretches else min(height, width)
    fit: Fit = "stretch" if stretches else "crop"
    channels = len(packed.mean)
    return Preprocessing((height, width), resize, "bicubic", packed.mean, packed.std, channels=channels, fit=fit)
