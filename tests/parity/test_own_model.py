"""The network of docs/own-model.md: defined outside the package, trained, exported, run in the engine to the bit."""

from __future__ import annotations

import csv
import importlib
import re
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import timm
import torch
from torch import nn

import bitvit
from bitvit.export import ExportError, build_program, pack
from bitvit.layers import QuantConv2d, QuantLinear, calibrate, gsb_linear
from bitvit.program import Interpreter
from bitvit.quantizers import ChannelSignWeight, ShiftedSign
from bitvit.runtime import Engine, available_isas
from bitvit.training import Recipe
from tests.support.random_models import perturb, random_images

ROOT = Path(__file__).parents[2]
NETWORK, USE, OWN_ESTIMATORS, OWN_LAYER = re.findall(
    r"^```python\n(.*?)^```", (ROOT / "docs" / "own-model.md").read_text(), flags=re.DOTALL | re.MULTILINE
)
NAME = "hybrid_micro_patch2_16"


@pytest.fixture
def network(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The module that the page shows, imported as a user's own."""
    monkeypatch.syspath_prepend(ROOT / "tests" / "support")
    return importlib.import_module("hybrid_network")


def assert_engine_equals_interpreter(model: nn.Module, seed: int) -> None:
    """In the fake-quantized, packed and exported forms; the last ones agree to the bit on every instruction set."""
    perturb(model, seed)
    images = random_images(model, count=7, seed=seed)
    calibrate(model, images.normalized)
    packed = pack(model.eval())
    program, tensors = build_program(packed)
    reference = Interpreter(program, tensors).run(images.bytes)
    assert np.ptp(reference, axis=0).max() > 0
    with torch.no_grad():
        expected, in_torch = model(images.normalized).numpy(), packed(torch.from_numpy(images.bytes)).numpy()
    for other in (expected, in_torch):
        close = np.abs(other - reference).max(axis=1) < 1e-4 * np.abs(expected).max()
        assert close.mean() > 0.5, "a sign may flip in a few images"
    for isa in available_isas():
        for count in (7, 1):
            found = Engine(program, tensors, threads=2, isa=isa).run(images.bytes[:count])
            np.testing.assert_array_equal(found.view(np.uint32), reference[:count].view(np.uint32), isa)


def test_the_page_shows_the_network_under_test(network: ModuleType) -> None:
    assert network.__file__ is not None
    assert Path(network.__file__).read_text() == NETWORK


def test_the_engine_computes_what_the_interpreter_computes(network: ModuleType) -> None:
    assert_engine_equals_interpreter(timm.create_model(NAME), seed=1)
    other = timm.create_model(NAME, img_size=24, channels=20, num_classes=3)
    vars(other)["pretrained_cfg"] = {**vars(other)["pretrained_cfg"], "input_size": (3, 24, 24)}
    assert_engine_equals_interpreter(other, seed=2)


def test_gradients_reach_every_parameter(network: ModuleType) -> None:
    model = timm.create_model(NAME).train()
    images = random_images(model, count=4, seed=3).normalized
    calibrate(model, images)
    torch.nn.functional.cross_entropy(model(images), torch.arange(4)).backward()
    assert [
        name for name, p in model.named_parameters() if p.grad is None or not bool(torch.isfinite(p.grad).all())
    ] == []


def test_it_trains_exports_and_predicts(network: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The page's second block, as it stands."""
    monkeypatch.chdir(tmp_path)
    original = Recipe.load
    offline: dict[str, Any] = {"runtime.accelerator": "cpu", "runtime.tensorboard": False}
    monkeypatch.setattr(Recipe, "load", lambda source, overrides: original(source, {**overrides, **offline}))
    names: dict[str, Any] = {}
    exec(compile(USE, "own-model.md", "exec"), names)
    with (tmp_path / "runs" / "hybrid" / "metrics.csv").open() as file:
        losses = [(row["phase"], float(row["train_loss"])) for row in csv.DictReader(file)]
    first = [loss for phase, loss in losses if phase == "stage1"]
    second = [loss for phase, loss in losses if phase == "stage2"]
    assert first[-1] < first[0] - 0.1
    assert second[-1] < second[0]
    assert names["report"].final.evaluation.top1 > 0.2, "chance is 0.1"
    predictor = bitvit.load(tmp_path / "hybrid.bitvit")
    agreement = predictor.info.provenance["agreement"]
    assert agreement["images"] == 100
    assert agreement["identical_predictions"] >= 0.995
    assert names["logits"].shape == (1, 10)


def map_conv(channels: int, kernel: int, **arguments: Any) -> QuantConv2d:
    """A binary convolution of maps with the estimators of BHViT."""
    estimators = {"weight": ChannelSignWeight(), "input": ShiftedSign(channels)}
    return QuantConv2d(channels, channels, kernel, **{**estimators, **arguments})


class EveryOperation(nn.Module):
    """What the page's table allows beside the layers of the network that it shows."""

    def __init__(self, layer: type[nn.Linear]) -> None:
        super().__init__()
        from timm.layers import PatchEmbed

        self.pretrained_cfg = {"input_size": (3, 12, 18), "mean": (0.5, 0.4, 0.3), "std": (0.2, 0.3, 0.4)}
        self.embed = PatchEmbed((12, 18), 3, 3, 18, norm_layer=nn.LayerNorm)
        self.binary = layer(18, 18)
        self.conv = map_conv(18, 5, padding=6, dilation=3, groups=3)
        self.scale = nn.Parameter(torch.linspace(0.5, 2, 18))
        self.position = nn.Parameter(torch.randn(4, 6, 18))
        self.relu = nn.ReLU()
        self.leaky = nn.LeakyReLU(0.2)
        self.dropout = nn.Dropout(0.5)
        self.features = nn.BatchNorm1d(36)
        self.head = nn.Linear(36, 5)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        x = self.embed(images)
        x = self.leaky(x - self.binary(x) * self.scale / 3.0) + (1.0 - x) + (self.scale - x)
        x = torch.unflatten(x, 1, (4, 6)) + self.position
        x = self.relu(self.conv(x) - 0.25) - self.position
        last = x.flatten(1, 2)[:, -1:]
        pooled = torch.cat([x.mean(dim=(1, 2), keepdim=True).flatten(1, 2), last], dim=1)
        logits: torch.Tensor = self.head(self.features(self.dropout(pooled.flatten(1))))
        return logits


def own_layer() -> type[nn.Linear]:
    """The page's fourth block: a binary layer of the user's own, and its packed twin."""
    names: dict[str, Any] = {"__name__": "own_layer"}
    exec(compile(OWN_LAYER.replace("from __future__ import annotations\n", ""), "own-model.md", "exec"), names)
    layer: type[nn.Linear] = names["MedianLinear"]
    return layer


def test_every_supported_operation_and_a_layer_of_ones_own() -> None:
    torch.manual_seed(4)
    assert_engine_equals_interpreter(EveryOperation(own_layer()), seed=4)


class OnlyOwn(nn.Module):
    """A network whose only binary layer is the user's own."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        from timm.layers import PatchEmbed

        self.pretrained_cfg = {"input_size": (3, 12, 12), "mean": (0.5, 0.4, 0.3), "std": (0.2, 0.3, 0.4)}
        self.embed = PatchEmbed(12, 3, 3, 20)
        self.binary = layer
        self.head = nn.Linear(20, 5)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        x = self.embed(images)
        logits: torch.Tensor = self.head((x + self.binary(x)).mean(dim=1))
        return logits


def test_a_model_whose_only_binary_layer_is_the_users_own() -> None:
    torch.manual_seed(5)
    assert_engine_equals_interpreter(OnlyOwn(own_layer()(20, 20)), seed=5)


def own_estimators() -> dict[str, Any]:
    """The page's third block: a weight and an activation estimator of the user's own."""
    names: dict[str, Any] = {"__name__": "own_estimators"}
    exec(compile(OWN_ESTIMATORS, "own-model.md", "exec"), names)
    return names


@pytest.mark.parametrize("kind", ["linear", "convolution", "react", "attention"])
def test_an_estimator_of_ones_own_trains_packs_and_runs_in_every_layer(kind: str) -> None:
    """One file is enough: both stages, calibration, training steps, the engine to the bit, complexity."""
    from functools import partial

    from bitvit.complexity import complexity
    from bitvit.layers import BinaryAttention, ReactLinear, ReactOptions
    from bitvit.models import set_stage
    from bitvit.quantizers import GsbAttention

    names = own_estimators()
    weight, sign = names["MedianWeight"], names["ThresholdSign"]
    torch.manual_seed(6)
    layer: nn.Module
    if kind == "linear":
        layer = QuantLinear(20, 20, weight=weight(), input=sign())
    elif kind == "convolution":
        conv = QuantConv2d(20, 20, 3, padding=1, weight=weight(), input=sign())
        layer = nn.Sequential(nn.Unflatten(1, (4, 4)), conv, nn.Flatten(1, 2))
    elif kind == "react":
        layer = ReactLinear(20, 20, ReactOptions(weight=weight, activation=lambda channels: sign()))
    else:
        linear = partial(QuantLinear, weight=weight(), input=sign())
        layer = BinaryAttention(20, 2, GsbAttention(2, 16), sign(), query=sign(), key=sign(), linear=linear)
    model = OnlyOwn(layer)
    images = random_images(model, count=8, seed=6).normalized
    targets = torch.arange(8) % 5
    losses = []
    for stage in ("weights", "full"):
        set_stage(model, stage)  # type: ignore[arg-type]
        if stage == "full":
            calibrate(model, images)
        optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
        for _ in range(30):
            optimizer.zero_grad()
            loss = nn.functional.cross_entropy(model(images), targets)
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            losses.append(float(loss.detach()))
        assert losses[-1] < losses[-30] - 0.05
    scales = [s for m in model.modules() if isinstance(m, sign) for s in m.scale_parameters()]
    assert scales == ["log_scale"] * len(scales)
    assert scales
    counted = complexity(model, (3, 12, 12))
    assert counted.total.charge.bops > 0
    assert counted.total.binary_parameters > 0
    assert set(counted.uncounted) <= {"the model itself (OnlyOwn)", "binary.0 (Unflatten)"}
    assert_engine_equals_interpreter(model, seed=6)


class _Refused(nn.Module):
    def __init__(self, operation: Any) -> None:
        super().__init__()
        from timm.layers import PatchEmbed

        self.embed = PatchEmbed(8, 2, 3, 16)
        self.binary = gsb_linear(16, 16)
        self.operation = operation

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        x: torch.Tensor = self.operation(self.binary(self.embed(images)))
        return x.mean(dim=1)


@pytest.mark.parametrize(
    ("operation", "message"),
    [
        (lambda x: x * x, "two activations"),
        (lambda x: x.transpose(1, 2), "transpose"),
        (lambda x: x.softmax(dim=-1), "softmax"),
        (lambda x: x * torch.ones(16, 1), "one factor per channel"),
        (lambda x: x + x[:, :1], "broadcasting"),
        (lambda x: x - x[:, :1], "broadcasting"),
        (lambda x: x.mean(dim=2, keepdim=True), "not over tokens"),
        (lambda x: x.cumsum(dim=1), "cumsum"),
    ],
)  # fmt: skip
def test_what_cannot_be_exported_is_named(operation: Any, message: str) -> None:
    with pytest.raises(ExportError, match=message) as caught:
        build_program(pack(_Refused(operation)))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "arguments",
    [{"stride": 2, "padding": 1}, {"padding": 0}, {"padding": 1, "dilation": 2}, {"padding": 1, "input": None}],
    ids=str,
)
def test_convolutions_that_cannot_be_packed_say_so(arguments: dict[str, Any]) -> None:
    from timm.layers import PatchEmbed

    conv = map_conv(8, 3, **arguments)
    with pytest.raises(ExportError, match="binary convolution"):
        pack(nn.Sequential(PatchEmbed(8, 2, 3, 8, output_fmt="NHWC"), conv))
