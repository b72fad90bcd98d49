"""Imported checkpoints give the logits, activations, gradients and initial values that the authors' code gives.

Float32 logits are compared end to end only because the cases were chosen so that no sign lies within rounding of zero.
"""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor, nn

from bitvit.layers import calibrate
from bitvit.models.reference import from_reference, set_threshold_scope, to_reference
from tests.support.golden import GOLDEN, GoldenCase, case_names, load_case, read_config, relative_error

LAZY_NAMES = ("base_scale", "base_scales", "base_step")


@pytest.fixture(scope="module", params=case_names())
def case(request: pytest.FixtureRequest) -> GoldenCase:
    return load_case(request.param)


@pytest.fixture(scope="module")
def imported(case: GoldenCase) -> nn.Module:
    return from_reference(case.config, case.state_dict)


@pytest.fixture
def model(imported: nn.Module) -> nn.Module:
    return copy.deepcopy(imported)


def test_float64_logits(case: GoldenCase, model: nn.Module) -> None:
    logits = model.double()(case.images(torch.float64))
    assert relative_error(logits, case.io["logits_f64"]) < 1e-9


def test_float32_logits(case: GoldenCase, model: nn.Module) -> None:
    assert relative_error(model(case.images()), case.io["logits"]) < 1e-5


def test_logits_of_each_image_alone(case: GoldenCase, model: nn.Module) -> None:
    alone = torch.cat([model(image[None]) for image in case.images()])
    assert relative_error(alone, case.io["logits_single"]) < 1e-5


def test_image_thresholds_make_logits_independent_of_the_batch(case: GoldenCase, model: nn.Module) -> None:
    set_threshold_scope(model, "image")
    assert relative_error(model(case.images()), case.io["logits_single"]) < 1e-5


@pytest.mark.parametrize("name", [name for name in case_names() if read_config(name)["model"]["family"] == "gsb"])
def test_training_logits(name: str) -> None:
    case = load_case(name)
    model = from_reference(case.config, case.state_dict)
    model.training = True  # the network alone: its norms keep their stored statistics
    logits = model(case.images())
    assert relative_error(logits[0], case.io["train_logits_cls"]) < 1e-5
    assert relative_error(logits[1], case.io["train_logits_dist"]) < 1e-5


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=str)
def test_gradients(case: GoldenCase, model: nn.Module, dtype: torch.dtype) -> None:
    images = case.images(dtype).requires_grad_()
    loss = (model.to(dtype)(images) * case.io["loss_matrix"].to(dtype)).sum()
    loss.backward()
    assert float(loss.detach()) == pytest.approx(float(case.io["loss"]), rel=1e-4)
    ours = {name: p.grad for name, p in model.named_parameters() if p.grad is not None}
    found = to_reference(model, ours, case.state_dict)
    expected = case.gradients()
    assert set(found) == set(expected) | case.left_out_gradients()
    # Some gradients are zero but for rounding (softmax does not change when all keys shift): measure those against
    # the others.
    floor = 1e-4 * max(float(value.abs().max()) for value in expected.values())
    errors = {name: relative_error(found[name], expected[name], floor) for name in expected}
    worst = max(errors, key=lambda name: errors[name])
    assert errors[worst] < 1e-3, worst
    assert images.grad is not None
    reference = case.input_gradient()
    if reference is not None:
        assert relative_error(images.grad[: len(reference)], reference) < 1e-3


def _our_name(theirs: str) -> str | None:
    """Our module for one of the authors', where names map one to one and outputs have the same meaning."""
    simple = {"vit.embeddings": "stem", "vit.layernorm": "norm", "patch_embed": "patch_embed", "norm": "norm"}
    return simple.get(theirs) or (theirs if theirs in ("head", "head_dist") else None)


def _block_outputs(model: nn.Module, case: GoldenCase) -> dict[str, nn.Module]:
    """Our modules whose outputs the case holds, by the authors' names."""
    modules = dict(model.named_modules())
    found: dict[str, nn.Module] = {}
    for name in case.io:
        ours = _our_name(name[4:])
        if name.startswith("act/") and ours in modules:
            found[name] = modules[ours]
    stages = modules.get("stages")
    if isinstance(stages, nn.ModuleList):
        numbers = {"layer": 0, "layerA": 0, "layerB": 0}
        hybrid = case.config["model"]["family"] == "bhvit"
        for index, stage in enumerate(stages.children()):
            if index > 0:
                found[f"act/vit.encoder.patch_embed{index}"] = modules[f"stages.{index}.downsampling"]
            kind = ("layerA" if index < 2 else "layerB") if hybrid else "layer"
            for block in stage.get_submodule("blocks").children():
                found[f"act/vit.encoder.{kind}.{numbers[kind]}"] = block
                numbers[kind] += 1
    elif isinstance(modules.get("blocks"), nn.Sequential):
        prefix = "act/vit.encoder.layer" if any(name.startswith("vit.") for name in case.state_dict) else "act/blocks"
        for index, block in enumerate(modules["blocks"].children()):
            found[f"{prefix}.{index}"] = block
    return found


def test_activations(case: GoldenCase, model: nn.Module) -> None:
    outputs: dict[str, Tensor] = {}
    model.double()
    for name, module in _block_outputs(model, case).items():
        if name not in case.io:
            assert name in case.config.get("left_out", ())
            continue
        module.register_forward_hook(lambda _m, _i, y, name=name: outputs.__setitem__(name, y))
    with torch.no_grad():
        model(case.images(torch.float64))
    compared = 0
    for name, value in outputs.items():
        expected = case.io[name]
        if expected.dim() == 4 and value.dim() == 4:
            expected = expected.permute(0, 2, 3, 1)
        # The reference is float32.
        assert relative_error(value.reshape(expected.shape), expected) < 1e-5, name
        compared += 1
    assert compared >= 3


@pytest.mark.parametrize("name", [name for name in case_names() if (GOLDEN / name / "lazy_init.safetensors").exists()])
def test_first_initial_values(name: str) -> None:
    case = load_case(name)
    model = from_reference(case.config, case.state_dict)
    stored = {key[7:]: value for key, value in case.lazy.items() if key.startswith("stored/")}
    with torch.no_grad():
        for key, parameter in model.named_parameters():
            leaf = key.rpartition(".")[2]
            if leaf in LAZY_NAMES:
                parameter.fill_(1.0)
            elif leaf == "zero_point":
                parameter.fill_(0.5)
    calibrate(model, case.images())
    found = to_reference(model, dict(model.state_dict()), case.state_dict)
    for key, value in stored.items():
        # Sums over many values in float32, carried through the layers before.
        assert relative_error(found[key].reshape(value.shape), value) < 1e-4, key
    # The forward pass after it: the authors' second one in GSB, their first one in BHViT.
    if "second_cls" in case.lazy:
        model.training = True
        cls, dist = model(case.images())
        assert relative_error(cls, case.lazy["second_cls"]) < 1e-5
        assert relative_error(dist, case.lazy["second_dist"]) < 1e-5
    elif "logits" in case.lazy:
        assert relative_error(model(case.images()), case.lazy["logits"]) < 1e-5


def test_round_trip_to_the_authors_names(case: GoldenCase, imported: nn.Module) -> None:
    back = to_reference(imported, dict(imported.state_dict()), case.state_dict)
    for name, value in back.items():
        assert torch.equal(value, case.state_dict[name]), name
    left_out = set(case.state_dict) - set(back)
    assert all(name.endswith((".init_state", ".weight_clip_val")) for name in left_out), left_out


def test_architecture_from_the_tensors_alone(case: GoldenCase, imported: nn.Module) -> None:
    """Without a config all but the heads, the reductions and ReCU follow from names and shapes."""
    family = case.config["model"]["family"]
    hints = case.config["model"].get("hf_config", {})
    kept = {name: hints[name] for name in ("num_attention_heads", "reduction_ratio") if name in hints}
    guessed = from_reference({"model": {"hf_config": kept}} if kept else None, case.state_dict)
    eps = {m.eps for m in guessed.modules() if isinstance(m, nn.LayerNorm)}
    assert family != "gsb" or eps == {1e-12}
    assert relative_error(guessed(case.images()), imported(case.images())) == 0
