"""A whole training run: teacher, stage 1, stage 2, report. It can be killed at any moment and resumed."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from lightning.fabric.utilities.rank_zero import rank_zero_only
from lightning.pytorch import Trainer
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.loggers import TensorBoardLogger
from lightning.pytorch.utilities.exceptions import MisconfigurationException

from bitvit.checkpoints import CheckpointInfo, load_checkpoint, save_checkpoint
from bitvit.data import Data, build_data, check_data
from bitvit.data.summary import summary_lines
from bitvit.runtime.decoding import Decoding
from bitvit.runtime.pixel_depth import range_of_bits
from bitvit.training.augmentation import BatchMixer, training_transform
from bitvit.training.batches import EpochBatches, EvaluationImages, TrainingImages, evaluation_loader, training_loader
from bitvit.training.compilation import compile_for_training
from bitvit.training.errors import RecipeError
from bitvit.training.evaluation import Evaluation, evaluate
from bitvit.training.history import EpochRecord, draw_loss_curves
from bitvit.training.phase_module import PhaseModule
from bitvit.training.phases import Phase, Start, check_student, plan, prepare
from bitvit.training.progress import ShowProgress
from bitvit.training.recipe import Recipe
from bitvit.training.report import PhaseResult, TrainingReport
from bitvit.training.run_folder import RunFolder
from bitvit.training.surroundings import computing_threads, kept_random_state, quiet_libraries, reporting_interrupts
from bitvit.training.trainer_state import AtomicCheckpointIO, SaveState

__all__ = ["data_of", "train"]


def data_of(recipe: Recipe) -> Data:
    """Return the data set that a recipe asks for, every image of it checked.

    Raises:
        DataError: if it is missing or damaged.
    """
    choice = recipe.data
    decoding = Decoding(
        value_range=None if choice.bit_depth is None else range_of_bits(choice.bit_depth), max_pixels=choice.max_pixels
    )
    data = build_data(
        choice.name,
        choice.folder,
        val_fraction=choice.val_fraction,
        split_seed=choice.split_seed,
        samples_per_class=choice.samples_per_class,
        label_noise=choice.label_noise,
        folds=choice.folds,
        fold=choice.fold,
        seed=recipe.seed,
        layout=choice.layout,
        class_order=choice.class_order,
        decoding=decoding,
    )
    return check_data(data, choice.on_error)


def train(
    recipe: Recipe,
    out: str | Path,
    resume: bool = False,
    *,
    data: Data | None = None,
    progress: bool = False,
    on_epoch: Callable[[EpochRecord], None] | None = None,
) -> TrainingReport:
    """Train a teacher and a binary student as the recipe says, into the folder `out`.

    Killed at any moment and called again with `resume=True`, it goes on after the last finished epoch and ends with the
    weights of an
    uninterrupted run: bit for bit on a CPU with the same number of threads.

    Args:
        out: a new or empty folder, or with `resume` that of the run to go on with (a finished run is only reported
            again).
        data: the data set, if it is not the one that the recipe names.
        progress: show a progress bar on standard error.
        on_epoch: called with the figures of every epoch.

    Returns:
        The figures of all phases, as stored in `report.json`.

    Raises:
        RecipeError, DataError, ImageError, CheckpointError, TrainingError: something is wrong with what was asked for.
        OutputError: the folder cannot be written.
        TrainingInterrupted: the user stopped it (a KeyboardInterrupt); it can be resumed.
    """
    folder = RunFolder(Path(out).expanduser())
    data = data if data is not None else data_of(recipe)
    if BatchMixer(recipe.augmentation, len(data.labels)).mixes and recipe.batch_size % 2:
        raise RecipeError("batch_size: must be even, as mixup and cutmix pair the images of a batch")
    check_student(recipe, data)
    if _is_first_process():
        folder.prepare(recipe, resume)
    history: list[EpochRecord] = []
    results: list[PhaseResult] = []
    with quiet_libraries(), kept_random_state(), computing_threads(recipe.runtime.threads):
        for phase in plan(recipe, folder):
            if not phase.checkpoint.is_file():
                _run_phase(phase, recipe, data, folder, history, progress, on_epoch)
            elif _is_first_process():
                folder.state(phase.name).unlink(missing_ok=True)  # of a run killed right after the phase's end
            history += folder.read_history(phase.name)
            results.append(_judge(phase, recipe, data, folder))
    report = TrainingReport(folder.path, recipe, tuple(results), len(data.train), len(data.val))
    if _is_first_process():
        if history:
            draw_loss_curves(folder.figure, history)
        folder.write_report(report.to_dict())
    return report


def _run_phase(
    phase: Phase,
    recipe: Recipe,
    data: Data,
    folder: RunFolder,
    history: list[EpochRecord],
    progress: bool,
    on_epoch: Callable[[EpochRecord], None] | None,
) -> None:
    """Train one phase to its end and write its checkpoint."""
    start = prepare(phase, recipe, data, folder)
    folder.check_space(start.model)
    if progress and not history and _is_first_process():
        for line in summary_lines(data):
            print(line, file=sys.stderr)
    info = CheckpointInfo(start.spec, start.stage, data.labels, start.preprocessing, recipe.to_dict())
    if phase.schedule.epochs == 0:
        if _is_first_process():
            folder.write_history(phase.name, [])
            save_checkpoint(phase.checkpoint, start.model, info)
        return
    module, state, trainer = _fit(phase, start, recipe, data, folder, history, progress, on_epoch)
    if trainer.is_global_zero:
        last = state.records[-1]
        info = replace(info, metrics={"loss": last.val_loss, "top1": last.val_top1, "top5": last.val_top5})
        folder.write_history(phase.name, state.records)
        if module.ema is not None:
            save_checkpoint(folder.average(phase.name, phase.is_last), module.ema.module, info)
        save_checkpoint(phase.checkpoint, module.model, info)  # last: it marks the phase as finished
        folder.state(phase.name).unlink(missing_ok=True)
    trainer.strategy.barrier()


def _fit(
    phase: Phase,
    start: Start,
    recipe: Recipe,
    data: Data,
    folder: RunFolder,
    history: list[EpochRecord],
    progress: bool,
    on_epoch: Callable[[EpochRecord], None] | None,
) -> tuple[PhaseModule, SaveState, Trainer]:
    runtime = recipe.runtime
    state = SaveState(folder.state(phase.name), folder.metrics, phase.name, history, on_epoch)
    callbacks: list[Callback] = [state, _ValidateLastEpoch(recipe.validation.every_epochs)]
    if progress:
        callbacks.append(ShowProgress(phase.name))
    try:
        trainer = Trainer(
            accelerator=runtime.accelerator,
            devices=runtime.devices,
            num_nodes=runtime.nodes,
            strategy=runtime.strategy,
            precision=recipe.precision,
            max_epochs=phase.schedule.epochs,
            gradient_clip_val=phase.schedule.clip_gradient,
            check_val_every_n_epoch=recipe.validation.every_epochs,
            num_sanity_val_steps=0,
            log_every_n_steps=1,
            enable_progress_bar=False,
            enable_model_summary=False,
            use_distributed_sampler=False,
            sync_batchnorm=True,
            logger=TensorBoardLogger(str(folder.tensorboard), name="", version=phase.name)
            if runtime.tensorboard
            else False,
            plugins=[AtomicCheckpointIO()],
            callbacks=callbacks,
            default_root_dir=str(folder.path),
        )
    except (MisconfigurationException, ValueError, RuntimeError) as error:
        raise RecipeError(f"runtime: {' '.join(str(error).split())}") from None
    on_gpu = trainer.strategy.root_device.type == "cuda"
    batches = EpochBatches(
        len(data.train),
        recipe.batch_size,
        recipe.seed,
        phase.name,
        epoch=lambda: int(vars(trainer.fit_loop.epoch_progress.current)["processed"]),
        rank=trainer.global_rank,
        world_size=trainer.world_size,
    )
    transform = training_transform(recipe.augmentation, start.preprocessing)
    train_images = TrainingImages(data.train, transform, recipe.seed, phase.name)
    val_images = EvaluationImages(data.val, start.preprocessing)
    module = PhaseModule(
        start.model,
        recipe,
        phase.name,
        phase.schedule,
        start.preprocessing,
        len(data.labels),
        len(batches),
        start.distillation,
        start.teacher,
    )
    if runtime.compile:
        compile_for_training(module.model)
    resumed = folder.state(phase.name) if folder.state(phase.name).is_file() else None
    with reporting_interrupts(phase.name, phase.schedule.epochs, lambda: len(state.records)):
        trainer.fit(
            module,
            training_loader(train_images, batches, runtime.workers, pin_memory=on_gpu),
            evaluation_loader(
                val_images,
                recipe.validation.batch_size,
                runtime.workers,
                range(trainer.global_rank, len(val_images), trainer.world_size),
            ),
            ckpt_path=str(resumed) if resumed is not None else None,
            weights_only=True,
        )
    return module, state, trainer


def _judge(phase: Phase, recipe: Recipe, data: Data, folder: RunFolder) -> PhaseResult:
    """Evaluate the files that a phase has written."""
    model, info = load_checkpoint(phase.checkpoint)
    device = "cuda" if torch.cuda.is_available() and recipe.runtime.accelerator in ("auto", "gpu", "cuda") else "cpu"

    def figures(candidate: torch.nn.Module) -> Evaluation:
        batch_size = recipe.validation.batch_size
        return evaluate(candidate.to(device), data.val, info.preprocessing, batch_size=batch_size, device=device)

    records = folder.read_history(phase.name)
    average_file = folder.average(phase.name, phase.is_last)
    return PhaseResult(
        phase=phase.name,
        model=info.model.name,
        checkpoint=phase.checkpoint,
        epochs=len(records),
        seconds=sum(record.seconds for record in records),
        evaluation=figures(model),
        average=figures(load_checkpoint(average_file)[0]) if average_file.is_file() else None,
    )


def _is_first_process() -> bool:
    """Tell whether this process writes. The others of a distributed run come later, or look on."""
    return not getattr(rank_zero_only, "rank", 0)


class _ValidateLastEpoch(Callback):
    """Validates after the last epoch, whatever the interval."""

    def __init__(self, every_epochs: int) -> None:
        self._every_epochs = every_epochs

    def on_train_epoch_start(self, trainer: Trainer, pl_module: Any) -> None:
        is_last = trainer.current_epoch + 1 == trainer.max_epochs
        trainer.check_val_every_n_epoch = 1 if is_last else self._every_epochs
