"""One run of a study: train, pack, evaluate the packed file, and put the figures into one record."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import timm
import torch

import bitvit
from bitvit.bench.latency import machine
from bitvit.checkpoints import FINAL_FILE, CheckpointInfo, is_binary, load_checkpoint, provenance
from bitvit.complexity import ComplexityError, complexity
from bitvit.data import Data
from bitvit.export import ExportReport, export_model
from bitvit.files import hold_lock, write_atomically
from bitvit.layers import is_comparison_only
from bitvit.studies.errors import StudyError
from bitvit.studies.plan import PlannedRun, run_folder_name
from bitvit.studies.results import RESULTS_FILE, ResultsFile, key_of
from bitvit.tasks import task_named
from bitvit.training import TrainingReport, data_of, evaluate, train
from bitvit.training.fit_context import computing_threads
from bitvit.training.recipe import Recipe, TeacherSchedule
from bitvit.training.recipe_fingerprint import fingerprint
from bitvit.training.run_data import teacher_data_of
from bitvit.training.run_folder import RunFolder

__all__ = ["StudyFolder", "execute"]

PACKED_FILE = "model.bitvit"


@dataclass(frozen=True)
class StudyFolder:
    """Where a study's runs are made.

    Attributes:
        folder: of the study.
        progress: show the progress of training on standard error.
        note: called with a line whenever something begins that takes long.
    """

    folder: Path
    progress: bool = False
    note: Callable[[str], None] = lambda _: None

    def run_folder(self, run: PlannedRun) -> Path:
        """Return the folder of one run."""
        return self.folder / "runs" / run.folder

    def lock(self, name: str) -> Path:
        """Return the lock file of that name."""
        return self.folder / "locks" / name


def execute(run: PlannedRun, place: StudyFolder) -> dict[str, Any]:
    """Make one run, or go on with it where it was stopped, and return its record.

    Raises:
        BitvitError: whatever is wrong with the recipe, the data or the disk.
        TrainingInterrupted: the user stopped it.
    """
    recipe = run.recipe
    taught: dict[str, Any] | None = None
    if run.teacher is not None:
        path, taught = _teacher(run.teacher, place)
        # The path is that of this folder; what decides the result is in the digest.
        recipe = replace(recipe, teacher=TeacherSchedule(model=recipe.teacher.model, weights=str(path)))
        _update_teacher_path(place.run_folder(run), recipe)
    used = time.process_time()
    data = data_of(recipe)
    folder = place.run_folder(run)
    report = train(recipe, folder, resume=True, data=data, progress=place.progress)
    trained = time.perf_counter()
    with computing_threads(recipe.runtime.threads):
        figures = _figures(report, recipe, data, folder)
    train_seconds = sum(phase.seconds for phase in report.phases)
    record = {
        "run": run.name,
        "row": run.row.name,
        "point": run.point,
        "seed": run.seed,
        "digest": run.digest,
        **figures,
        "teacher": taught,
        "train_images": report.train_images,
        "test_images": report.val_images,
        "train_seconds": round(train_seconds, 1),
        "seconds": round(train_seconds + time.perf_counter() - trained, 1),
        "cpu_seconds": round(time.process_time() - used, 1),
        "machine": {**_machine(recipe), "threads": recipe.runtime.threads or torch.get_num_threads()},
        "versions": {"bitvit": bitvit.__version__, "torch": torch.__version__, "timm": timm.__version__},
        "date": datetime.now(timezone.utc).strftime("%Y-%m-%d"),
    }
    diverged = [name for name, value in record.items() if isinstance(value, float) and not math.isfinite(value)]
    if diverged:
        raise StudyError(f"{', '.join(diverged)}: not finite: the run diverged; try a smaller learning_rate")
    return record


def _device(recipe: Recipe) -> torch.device:
    """Return where a run is trained and evaluated."""
    on_gpu = torch.cuda.is_available() and recipe.runtime.accelerator in ("auto", "gpu", "cuda")
    return torch.device("cuda" if on_gpu else "cpu")


def _machine(recipe: Recipe) -> dict[str, str]:
    """Return what a run's minutes depend on."""
    device = _device(recipe)
    gpu = {} if device.type == "cpu" else {"gpu": torch.cuda.get_device_name(device)}
    return {**machine(), **gpu}


def _update_teacher_path(folder: Path, recipe: Recipe) -> None:
    """Let a run that was stopped go on with the teacher where it lies now.

    It is the same teacher, because the digest in the folder's name covers its training. But the study may have been
    moved since, or a full-precision row that serves as the teacher may have been finished.
    """
    path = RunFolder(folder).recipe
    if path.is_file():
        stored = Recipe.load(path)
        write_atomically(path, replace(stored, teacher=recipe.teacher).to_yaml().encode())


def _teacher(recipe: Recipe, place: StudyFolder) -> tuple[Path, dict[str, Any]]:
    """Train a shared teacher, unless it is there, and return its checkpoint and figures. Who comes second waits.

    A finished full-precision row that was trained in the same way is that teacher too.
    """
    if recipe.stage2.epochs == 0:
        raise StudyError("teacher.epochs: the shared teacher is neither trained (epochs) nor loaded (weights)")
    digest = fingerprint(recipe)
    metric = task_named(recipe.task.name).metrics[0].key
    for record in ResultsFile(place.folder / RESULTS_FILE).read():
        checkpoint = place.folder / "runs" / run_folder_name(*key_of(record)) / FINAL_FILE
        if record["digest"] == digest and checkpoint.is_file():
            return checkpoint, {
                "model": recipe.model.name,
                "digest": digest,
                metric: record[metric],
                "train_seconds": record["train_seconds"],
            }
    folder = place.folder / "teachers" / f"{recipe.model.name}-seed{recipe.seed}-{digest[:8]}"
    with hold_lock(place.lock(f"teacher-{digest}"), wait=True):
        if not (folder / FINAL_FILE).is_file():
            place.note(f"teacher {recipe.model.name}, seed {recipe.seed}")
        data = teacher_data_of(recipe, data_of(recipe))
        report = train(recipe, folder, resume=True, data=data, progress=place.progress)
    final = report.final
    own_images = {} if recipe.teacher.data is None else {"images": report.train_images}
    return folder / FINAL_FILE, {
        "model": recipe.model.name,
        "digest": digest,
        metric: final.evaluation.score,
        "train_seconds": round(final.seconds, 1),
        **own_images,
    }


def _figures(report: TrainingReport, recipe: Recipe, data: Data, folder: Path) -> dict[str, Any]:
    """Return accuracy, sizes and operations of a finished run."""
    model, info = load_checkpoint(folder)
    final = report.final
    metric = task_named(recipe.task.name).metrics[0].key
    history = RunFolder(folder).read_history(final.phase)
    try:
        cost: dict[str, Any] = complexity(model).total.to_dict()
    except ComplexityError:
        cost = {}
    packable = info.stage == "full" and not is_comparison_only(model)
    device = _device(recipe)
    packed = _packed(model, info, data, folder, recipe.runtime.threads, device) if packable else None
    seen = evaluate(
        model.to(device),
        data.train,
        info.preprocessing,
        task=task_named(info.task),
        batch_size=recipe.validation.batch_size,
        device=device,
    )
    return {
        **final.evaluation.metrics(),
        "test_loss": final.evaluation.loss,
        "train_loss": history[-1].train_loss if history else None,
        f"train_{metric}": seen.score,
        "clean_train_loss": seen.loss,
        f"packed_{metric}": packed.packed_accuracy if packed is not None else None,
        "agreement": packed.identical_predictions if packed is not None else None,
        "bytes": _size(model, folder, packed),
        "ops": cost.get("ops"),
        "bops": cost.get("bops"),
        "flops": cost.get("flops"),
        "parameters": sum(value.numel() for value in model.parameters()),
        "model": info.model.to_dict(),
    }


def _size(model: torch.nn.Module, folder: Path, packed: ExportReport | None) -> int | None:
    """Return bytes of the packed file or of full-precision weights; None where nothing writes few bits into a file."""
    if packed is not None:
        return (folder / PACKED_FILE).stat().st_size
    if is_binary(model):
        return None
    return sum(int(value.numel() * value.element_size()) for value in model.state_dict().values())


def _packed(
    model: torch.nn.Module, info: CheckpointInfo, data: Data, folder: Path, threads: int | None, device: torch.device
) -> ExportReport:
    """Pack a finished student and evaluate the file in the engine, on the test images."""
    return export_model(
        model,
        folder / PACKED_FILE,
        labels=info.labels,
        preprocessing=info.preprocessing,
        provenance=provenance(info),
        task=info.task,
        colors=info.colors,
        images=data.val.batches(info.preprocessing, 64),
        threads=threads,
        device=device,
    )
