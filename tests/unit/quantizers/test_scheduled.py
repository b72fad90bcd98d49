"""Signs whose gradient follows the progress of training, and estimators that know it."""

from __future__ import annotations

import torch

from bitvit.quantizers.ir_net import IrNetSign, IrNetWeight
from bitvit.quantizers.rbnn import RbnnSign, RbnnWeight
from bitvit.quantizers.recu import RecuWeight
from bitvit.quantizers.scheduled import ScheduledEstimator, scheduled_sign


def test_the_gradient_is_the_estimate_at_this_point_of_training() -> None:
    x = torch.tensor([-2.0, 0.0, 0.5], requires_grad=True)
    y = scheduled_sign(x, torch.tensor(0.25), lambda values, progress: values.abs() + progress)
    (y * torch.tensor([1.0, 2.0, 3.0])).sum().backward()
    assert y.tolist() == [-1.0, 1.0, 1.0]
    assert x.grad is not None
    assert x.grad.tolist() == [2.25, 0.5, 2.25]


def test_progress_is_kept_but_not_stored() -> None:
    for estimator in (IrNetWeight(), IrNetSign(), RbnnWeight(12), RbnnSign(), RecuWeight(scheduled=True)):
        assert isinstance(estimator, ScheduledEstimator)
        assert estimator.progress == 0
        estimator.start_epoch(0.5)
        assert estimator.progress == 0.5
        assert "progress" not in estimator.state_dict()
