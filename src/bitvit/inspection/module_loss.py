"""What the binarization of each kind of module costs (GSB Fig. 5, without training anew)."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import torch
from torch import nn

from bitvit.checkpoints import build_model, copy_weights
from bitvit.errors import BitvitError
from bitvit.inspection.inspected_run import InspectedRun
from bitvit.inspection.switches import KINDS, without
from bitvit.layers import calibrate
from bitvit.models import set_stage

_CALIBRATION_IMAGES = 64


def module_losses(inspected: InspectedRun) -> dict[str, Any]:
    """Switch binarization off and on, one kind of module at a time, and evaluate the network on the run's images.

    Returns:
        `images`; `metric` (key and title of the task's first metric); `student` (the trained binary network as it is)
        and `restored` (kind -> the same with that kind real); and, where the run's teacher has the student's shape,
        `teacher` and `only` (kind -> the teacher with only that kind binary, scales set from images, nothing
        trained), otherwise `no_teacher`, the reason. Each result has `loss` and the task's metrics.
    """
    document: dict[str, Any] = {
        "images": len(inspected.targets),
        "metric": vars(inspected.task.metrics[0]),
        "student": inspected.figures(inspected.student),
        "restored": {kind: inspected.figures(without(inspected.student, [kind])) for kind in KINDS},
    }
    if inspected.teacher is None:
        return {**document, "no_teacher": "the run has no teacher for these classes"}
    try:
        only = {kind: inspected.figures(_binarized(inspected, {kind})) for kind in KINDS}
    except BitvitError as error:
        return {**document, "no_teacher": str(error)}
    return {**document, "teacher": inspected.figures(inspected.teacher), "only": only}


def _binarized(inspected: InspectedRun, kinds: Collection[str]) -> nn.Module:
    """Return the teacher as a network of the student's architecture in which only some kinds of modules are binary."""
    assert inspected.teacher is not None
    with torch.random.fork_rng(devices=[]):
        model = build_model(inspected.info.model)
    copy_weights(inspected.teacher, model)
    set_stage(model, "full")
    model = without(model.eval(), [kind for kind in KINDS if kind not in kinds], centred=False)
    calibrate(model, inspected.images[:_CALIBRATION_IMAGES])
    return model
