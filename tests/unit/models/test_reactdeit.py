"""ReActDeiT and its ablation switches."""

from __future__ import annotations

import pytest
import timm
import torch

from bitvit.errors import UsageError
from bitvit.models.reactdeit import ReactDeit


def test_switches_one_at_a_time() -> None:
    def names(**switches: object) -> set[str]:
        return set(timm.create_model("test_reactdeit", **switches).state_dict())

    baseline = names()
    assert "class_token" in baseline
    assert not any("affine" in name or "branches" in name for name in baseline)
    averaged = names(global_pool="avg")
    assert baseline - averaged == {"class_token"}
    branches = names(global_pool="avg", branch_kernels=(3, 5))
    assert branches == averaged  # branches without an affine part have no parameters
    affine = names(global_pool="avg", branch_kernels=(3, 5), affine=True)
    added = {name.split(".", 2)[2].rsplit(".", 1)[0] for name in affine - averaged}
    kernels = {f"branches.along_{axis}.{index}" for axis in ("height", "width") for index in (0, 1)}
    assert added == {"attention.affine", "mlp.affine"} | kernels


def test_branches_without_affine_change_the_result() -> None:
    torch.manual_seed(3)
    plain = timm.create_model("test_reactdeit_avg").double().eval()
    torch.manual_seed(3)
    branched = timm.create_model("test_reactdeit_avg", branch_kernels=(3,)).double().eval()
    assert plain.state_dict().keys() == branched.state_dict().keys()
    images = torch.randn(2, 3, 16, 16, dtype=torch.float64)
    assert not torch.allclose(plain(images), branched(images))


def test_class_token_receives_nothing_from_branches() -> None:
    torch.manual_seed(4)
    model = timm.create_model("test_reactdeit", branch_kernels=(3,)).eval()
    block = model.blocks[0]
    h = torch.randn(1, 17, 32)
    with torch.no_grad():
        seen = block(h)
        block.branches = None
        without = block(h)
    assert torch.equal(seen[:, 0], without[:, 0])
    assert not torch.allclose(seen[:, 1:], without[:, 1:])


def test_impossible_sizes_are_explained() -> None:
    with pytest.raises(UsageError, match="patches of 16"):
        ReactDeit(img_size=100)
    with pytest.raises(UsageError, match="global_pool"):
        ReactDeit(img_size=32, global_pool="max")  # type: ignore[arg-type]
