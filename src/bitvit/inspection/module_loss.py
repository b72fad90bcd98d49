"""What the binarization of each kind of module costs (GSB Fig. 5, without training anew)."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

from bitvit.checkpoints import build_model, copy_weights
from bitvit.errors import BitvitError
from bitvit.inspection.specimen import Specimen
from bitvit.inspection.switches import KINDS, without
from bitvit.layers import calibrate
from bitvit.models import set_stage

_CALIBRATION_IMAGES = 64
_BATCH = 64


def module_losses(specimen: Specimen) -> dict[str, Any]:
    """Switch binarization off and on, one kind of module at a time, and judge the network on the specimen's images.

    Returns:
        `images`; `student` (the trained binary network as it is) and `restored` (kind -> the same with that kind real);
        and, where the run's teacher has the student's shape, `teacher` and `only` (kind -> the teacher with only that
        kind binary, scales set from images, nothing trained), otherwise `no_teacher`, the reason. Each result has
        `loss` and `top1`.
    """
    document: dict[str, Any] = {
        "images": len(specimen.targets),
        "student": _judge(specimen.student, specimen),
        "restored": {kind: _judge(without(specimen.student, [kind]), specimen) for kind in KINDS},
    }
    if specimen.teacher is None:
        return {**document, "no_teacher": "the run has no teacher for these classes"}
    try:
        only = {kind: _judge(_binarized(specimen, {kind}), specimen) for kind in KINDS}
    except BitvitError as error:
        return {**document, "no_teacher": str(error)}
    return {**document, "teacher": _judge(specimen.teacher, specimen), "only": only}


def _binarized(specimen: Specimen, kinds: Collection[str]) -> nn.Module:
    """Return the teacher as a network of the student's architecture in which only some kinds of modules are binary."""
    assert specimen.teacher is not None
    with torch.random.fork_rng(devices=[]):
        model = build_model(specimen.info.model)
    copy_weights(specimen.teacher, model)
    set_stage(model, "full")
    model = without(model.eval(), [kind for kind in KINDS if kind not in kinds], centred=False)
    calibrate(model, specimen.images[:_CALIBRATION_IMAGES])
    return model


@torch.inference_mode()
def _judge(model: nn.Module, specimen: Specimen) -> dict[str, float]:
    model.eval()
    logits = torch.cat([model(part).float() for part in torch.split(specimen.images, _BATCH)])
    return {
        "loss": float(F.cross_entropy(logits, specimen.targets)),
        "top1": float((logits.argmax(dim=1) == specimen.targets).float().mean()),
    }
