"""One phase of a run: start, fit, finish."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from lightning.pytorch import Trainer
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.loggers import TensorBoardLogger
from lightning.pytorch.utilities.exceptions import MisconfigurationException
from torch import nn

from bitvit.checkpoints import (
    CheckpointInfo,
    CheckpointStage,
    preprocessing_for,
    save_checkpoint,
)
from bitvit.tasks import Evaluation
from bitvit.training.batches import EpochBatches, EvaluationImages, TrainingImages, evaluation_loader, training_loader
from bitvit.training.compilation import compile_for_training, stop_compiling
from bitvit.training.cuda_graphs import release_passes
from bitvit.training.errors import RecipeError
from bitvit.training.evaluation import evaluate
from bitvit.training.fit_context import reporting_interrupts
from bitvit.training.liveness import Liveness, liveness_of
from bitvit.training.phase_module import PhaseModule, PhasePlan
from bitvit.training.phase_names import PhaseName
from bitvit.training.progress import ShowProgress
from bitvit.training.recipe import Schedule
from bitvit.training.report import PhaseResult
from bitvit.training.seeding import seed_torch
from bitvit.training.teacher import Teacher, build_teacher
from bitvit.training.trainer_state import AtomicCheckpointIO, SaveState

if TYPE_CHECKING:
    from bitvit.training.run import Run

__all__ = ["Phase"]


@dataclass(frozen=True)
class _Start:
    """What a phase starts with."""

    model: nn.Module
    info: CheckpointInfo
    teacher: Teacher | None


@dataclass(frozen=True)
class _Fitted:
    """The result of a fit."""

    module: PhaseModule
    state: SaveState
    trainer: Trainer


@dataclass(frozen=True)
class Phase:
    """One phase of a run: its name and schedule, and the file that it ends with.

    All that it starts from follows from the recipe, the data and the files of finished phases, so a phase that is
    started anew starts alike.
    """

    run: Run
    name: PhaseName
    schedule: Schedule
    is_last: bool

    @property
    def checkpoint(self) -> Path:
        """The file that marks the phase as finished."""
        return self.run.folder.checkpoint(self.name, self.is_last)

    @property
    def is_finished(self) -> bool:
        """Whether nothing is left to do: a run that was extended has epochs left, and the state to go on from."""
        folder = self.run.folder
        if not (self.checkpoint.is_file() and folder.result(self.name).is_file()):
            return False
        return folder.read_result(self.name)["epochs"] >= self.schedule.epochs or not folder.state(self.name).is_file()

    def execute(self) -> PhaseResult:
        """Train the phase to its end, or return its stored result if it is finished.

        Raises:
            RecipeError, CheckpointError, TrainingError, OutputError: it cannot start or go on.
            TrainingInterrupted: the user stopped it.
        """
        folder = self.run.folder
        if self.is_finished:
            if self.run.writes and not self.is_last:
                folder.state(self.name).unlink(missing_ok=True)  # of a run killed right after the phase's end
            document = folder.read_result(self.name)
        else:
            start = self._start()
            if self.run.writes:
                folder.check_space(start.model)
            if self.schedule.epochs:
                document = self._finish(start, self._fit(start))
            else:
                document = self._finish_untrained(start)
        return PhaseResult.from_dict(document, self.run.task, self.checkpoint)

    # Start

    def _start(self) -> _Start:
        return self._start_teacher() if self.name == "teacher" else self._start_stage()

    def _start_teacher(self) -> _Start:
        run = self.run
        seed_torch(run.recipe.seed, "teacher", "weights")
        model, spec = build_teacher(run.recipe, run.classes.labels)
        data = run.recipe.data
        preprocessing = preprocessing_for(
            model, data.crop_fraction, data.interpolation, run.data.train.decoding.value_range
        )
        info = CheckpointInfo(spec, "float", run.classes.labels, preprocessing)
        return _Start(model.train(), self._described(info), None)

    def _start_stage(self) -> _Start:
        run, student = self.run, self.run.student
        teacher: Teacher | None = None
        if run.recipe.needs_teacher:
            model, preprocessing = run.finished_model("teacher")
            if self.name == "stage1" or not run.recipe.stage1.epochs:
                student.take_teachers_weights(model)
            if run.recipe.distills:
                teacher = Teacher(model, preprocessing, student.preprocessing)
        if self.name == "stage2" and run.recipe.stage1.epochs:
            student.model = run.finished_model("stage1")[0]
        stage: CheckpointStage = "float"
        if student.is_binary and self.name == "stage1":
            stage = "weights"
            student.begin_weights_stage()
        elif student.is_binary:
            stage = "full"
            student.begin_full_stage()
        info = CheckpointInfo(student.spec, stage, run.classes.labels, student.preprocessing)
        return _Start(student.model.train(), self._described(info), teacher)

    def _described(self, info: CheckpointInfo) -> CheckpointInfo:
        run = self.run
        recipe = run.recipe.to_dict()
        if run.files is not None:
            recipe["data"]["files_digest"] = run.files
        return replace(info, task=run.task.name, colors=run.classes.colors, recipe=recipe)

    # Fit

    def _fit(self, start: _Start) -> _Fitted:
        run, recipe, data = self.run, self.run.recipe, self.run.data_for(self.name)
        best = run.folder.best if self.is_last else None
        state = SaveState(run.folder, self.name, run.task, run.history, best, start.info, run.on_epoch)
        trainer = self._trainer(state)
        distills = start.teacher is not None
        objective = run.objective(start.info.preprocessing, distills=distills, images=data.train)
        batches = EpochBatches(
            len(data.train),
            recipe.batch_size,
            recipe.seed,
            self.name,
            epoch=lambda: int(vars(trainer.fit_loop.epoch_progress.current)["processed"]),
            rank=trainer.global_rank,
            world_size=trainer.world_size,
            classes=data.train.targets if recipe.data.balance == "sampling" else None,
            least_steps=recipe.least_steps,
            repeats=recipe.augmentation.repeats,
        )
        plan = PhasePlan(
            name=self.name,
            recipe=recipe,
            schedule=self.schedule,
            task=run.task,
            classes=run.classes,
            objective=objective,
            preprocessing=start.info.preprocessing,
            teacher=start.teacher,
            steps_per_epoch=len(batches),
        )
        train_images = TrainingImages(run.images_for(self.name), objective, recipe.seed, self.name)
        val_images = EvaluationImages(data.val, start.info.preprocessing)
        module = PhaseModule(start.model, plan)
        if recipe.runtime.compile:
            compile_for_training(module.model)
        workers = recipe.runtime.workers
        on_gpu = trainer.strategy.root_device.type == "cuda"
        if recipe.runtime.cuda_graphs and not on_gpu:
            raise RecipeError("runtime.cuda_graphs: training is not on a CUDA device; leave it out")
        own_share = range(trainer.global_rank, len(val_images), trainer.world_size)
        resumed = run.folder.state(self.name)
        with reporting_interrupts(self.name, self.schedule.epochs, lambda: len(state.records)):
            trainer.fit(
                module,
                training_loader(train_images, batches, workers, pin_memory=on_gpu),
                evaluation_loader(val_images, recipe.validation.batch_size, workers, own_share),
                ckpt_path=str(resumed) if resumed.is_file() else None,
                weights_only=True,
            )
        return _Fitted(module, state, trainer)

    def _trainer(self, state: SaveState) -> Trainer:
        recipe, runtime, folder = self.run.recipe, self.run.recipe.runtime, self.run.folder
        callbacks: list[Callback] = [state, _ValidateLastEpoch(recipe.validation.every_epochs)]
        if self.run.progress:
            callbacks.append(ShowProgress(self.name))
        try:
            return Trainer(
                accelerator=runtime.accelerator,
                devices=runtime.devices,
                num_nodes=runtime.nodes,
                strategy=runtime.strategy,
                precision=recipe.precision,
                max_epochs=self.schedule.epochs,
                gradient_clip_val=self.schedule.clip_gradient,
                check_val_every_n_epoch=recipe.validation.every_epochs,
                num_sanity_val_steps=0,
                log_every_n_steps=1,
                enable_progress_bar=False,
                enable_model_summary=False,
                use_distributed_sampler=False,
                sync_batchnorm=True,
                logger=TensorBoardLogger(str(folder.tensorboard), name="", version=self.name)
                if runtime.tensorboard
                else False,
                plugins=[AtomicCheckpointIO()],
                callbacks=callbacks,
                default_root_dir=str(folder.path),
            )
        except (MisconfigurationException, ValueError, RuntimeError) as error:
            raise RecipeError(f"runtime: {' '.join(str(error).split())}") from None

    # Finish

    def _finish(self, start: _Start, fitted: _Fitted) -> dict[str, Any]:
        """Write the phase's files; its checkpoint last, as that marks the phase as finished.

        Returns the result as a document. Other processes get it from the one that writes: what that has just written is
        not yet seen on every machine of a network file system.
        """
        run, module = self.run, fitted.module
        document: dict[str, Any] = {}
        stop_compiling(module.model)
        release_passes(module.model)
        if fitted.trainer.is_global_zero:
            records = fitted.state.records
            average = None if module.ema is None else module.ema.module
            # Figures of mixed and double precision are of the float32 network that the file holds.
            known = module.evaluation if run.recipe.precision == "32" else None
            result = PhaseResult(
                phase=self.name,
                model=start.info.model.name,
                checkpoint=self.checkpoint,
                epochs=len(records),
                seconds=sum(record.seconds for record in records),
                evaluation=known or self._evaluate(module.model, start.info),
                average=None if average is None else self._evaluate(average, start.info),
                best=fitted.state.best,
                liveness=self._liveness(module.model),
            )
            info = replace(start.info, metrics={"loss": result.evaluation.loss, **result.evaluation.metrics()})
            if average is not None:
                save_checkpoint(run.folder.average(self.name, self.is_last), average, info)
            run.folder.write_history(self.name, records)
            document = result.to_dict()
            run.folder.write_result(self.name, document)
            save_checkpoint(self.checkpoint, module.model, info)
            if not self.is_last:  # the last state stays, so that the run can be extended
                run.folder.state(self.name).unlink(missing_ok=True)
        run.keep(self.name, module.model, start.info.preprocessing)
        shared: dict[str, Any] = fitted.trainer.strategy.broadcast(document)
        return shared

    def _finish_untrained(self, start: _Start) -> dict[str, Any]:
        run = self.run
        evaluation = self._evaluate(start.model, start.info)
        result = PhaseResult(self.name, start.info.model.name, self.checkpoint, 0, 0.0, evaluation)
        if run.writes:
            run.folder.write_history(self.name, [])
            run.folder.write_result(self.name, result.to_dict())
            save_checkpoint(self.checkpoint, start.model, start.info)
        run.keep(self.name, start.model, start.info.preprocessing)
        return result.to_dict()

    def _liveness(self, model: nn.Module) -> Liveness | None:
        device = next(model.parameters()).device
        images = self.run.student.sample_images().to(device)
        return liveness_of(model.float(), images)

    def _evaluate(self, model: nn.Module, info: CheckpointInfo) -> Evaluation:
        recipe = self.run.recipe
        use_gpu = torch.cuda.is_available() and recipe.runtime.accelerator in ("auto", "gpu", "cuda")
        device = "cuda" if use_gpu else "cpu"
        batch_size = recipe.validation.batch_size
        candidate = model.to(device).float()
        return evaluate(
            candidate, self.run.data.val, info.preprocessing, task=self.run.task, batch_size=batch_size, device=device
        )


class _ValidateLastEpoch(Callback):
    """Validates after the last epoch, whatever the interval."""

    def __init__(self, every_epochs: int) -> None:
        self._every_epochs = every_epochs

    def on_train_epoch_start(self, trainer: Trainer, pl_module: Any) -> None:
        is_last = trainer.current_epoch + 1 == trainer.max_epochs
        trainer.check_val_every_n_epoch = 1 if is_last else self._every_epochs
