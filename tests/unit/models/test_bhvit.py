"""BHViT: the parts against their formulas, written out with loops, and the network's contracts."""

from __future__ import annotations

import pytest
import timm
import torch
from torch import Tensor, nn

from bitvit.errors import UsageError
from bitvit.layers import calibrate
from bitvit.layers.dilated_mixer import DilatedMixer
from bitvit.layers.react_branches import ShiftBranches
from bitvit.layers.react_linear import ReactOptions
from bitvit.layers.window_attention import WindowAttention, WindowMerge, WindowTokens, join_windows, split_windows
from bitvit.models.bhvit import Bhvit, weight_oscillation_loss
from bitvit.models.stages import set_stage
from bitvit.quantizers import CalibratedClip
from bitvit.quantizers.decomposition import DecomposedAttention, decompose_attention
from tests.support.random_models import perturb

OPTIONS = ReactOptions()
CLOSE = {"rtol": 1e-9, "atol": 1e-9}  # float64


def prepared(module: nn.Module, seed: int) -> nn.Module:
    torch.manual_seed(seed)
    perturb(module, seed)
    return module.double().eval()


def test_windows_and_back() -> None:
    x = torch.randn(2, 6, 9, 4)
    windows = split_windows(x, 3)
    assert windows.shape == (2, 6, 9, 4)
    for row in range(2):
        for column in range(3):
            tile = x[:, 3 * row : 3 * row + 3, 3 * column : 3 * column + 3].reshape(2, 9, 4)
            assert torch.equal(windows[:, 3 * row + column], tile)
    assert torch.equal(join_windows(windows, 3, (6, 9)), x)


@pytest.mark.parametrize("window", [2, 3])
def test_summary_tokens(window: int) -> None:
    tokens = prepared(WindowTokens(5, window), 1)
    assert isinstance(tokens, WindowTokens)
    x = torch.randn(1, 2 * window, window, 5, dtype=torch.float64)
    pad = (window - 1) // 2
    expected = torch.empty(1, 2, 5, dtype=torch.float64)
    for index in range(2):
        rows = range(index * window - pad, (index + 1) * window - pad)
        columns = range(-pad, window - pad)
        cell = torch.stack([x[0, r, c] for r in rows for c in columns if 0 <= r < 2 * window and 0 <= c < window])
        mean = cell.sum(0) / window**2
        expected[0, index] = tokens.mix * cell.amax(0) + (1 - tokens.mix) * mean
    torch.testing.assert_close(tokens.summaries(x), expected, **CLOSE)
    y = tokens(x)
    assert y.shape == (2, window**2 + 2, 5)
    torch.testing.assert_close(y[0, window**2 :], y[1, window**2 :], **CLOSE)


def test_merging_windows() -> None:
    merge = prepared(WindowMerge(4, 2), 2)
    assert isinstance(merge, WindowMerge)
    x = torch.randn(2 * 6, 4 + 6, 4, dtype=torch.float64)
    y = merge(x, (4, 6))
    windows = x.view(2, 6, 10, 4)
    for row in range(4):
        for column in range(6):
            own = 3 * (row // 2) + column // 2
            mean = windows[:, :, 4 + own].mean(1)
            part = windows[:, own, 2 * (row % 2) + column % 2]
            torch.testing.assert_close(y[:, row, column], merge.share * part + (1 - merge.share) * mean, **CLOSE)


def test_shift_branches() -> None:
    branches = prepared(ShiftBranches(8, (3, 5)), 3)
    assert isinstance(branches, ShiftBranches)
    x = torch.randn(1, 5, 6, 8, dtype=torch.float64)
    expected = torch.zeros_like(x)
    moves = ((1, 0), (-1, 0), (0, 1), (0, -1))
    for index, radius in enumerate((1, 2)):
        for i in range(5):
            for j in range(6):
                offsets = range(-radius, radius + 1)
                height = sum(x[0, (i + d) % 5, j] for d in offsets) / len(offsets)
                width = sum(x[0, i, (j + d) % 6] for d in offsets) / len(offsets)
                quarters = torch.cat(
                    [
                        x[0, (i - dy * radius) % 5, (j - dx * radius) % 6, 2 * q : 2 * q + 2]
                        for q, (dy, dx) in enumerate(moves)
                    ]
                )
                parts = (branches.along_height, branches.along_width, branches.along_channels)
                for values, part in zip((height, width, quarters), parts, strict=True):
                    expected[0, i, j] += values * part[index].scale + part[index].shift
    torch.testing.assert_close(branches(x), expected, **CLOSE)


def test_padding_of_the_mixer_is_zero_after_the_sign() -> None:
    """A 1 x 1 map: with padding of +-1 the eight outer taps would count, with zeros only the middle one does."""
    mixer = prepared(DilatedMixer(4, OPTIONS), 4)
    assert isinstance(mixer, DilatedMixer)
    x = torch.randn(1, 1, 1, 4, dtype=torch.float64)
    conv: nn.Module = mixer.convs[0]
    signs, scale = conv.binary_weight()
    bits = torch.where(x + mixer.sign.shift < 0, -1.0, 1.0).double()
    expected = bits * signs[:, 0, 1, 1] * scale + conv.bias
    torch.testing.assert_close(conv(mixer.sign(x)[0]), expected, **CLOSE)


def test_calibration_sets_every_step() -> None:
    torch.manual_seed(7)
    model = timm.create_model("test_bhvit")
    calibrate(model, torch.randn(4, 3, 32, 32))
    quantizers = [m for m in model.modules() if isinstance(m, DecomposedAttention)]
    assert len(quantizers) == 3
    # Rows of attention sum to 1, so the mean of 3 p is 3 over the number of keys.
    for quantizer, keys in zip(quantizers, (4 + 4, 4 + 4, 4 + 1), strict=True):
        torch.testing.assert_close(quantizer.step, torch.full_like(quantizer.step, 2 * 3 / keys / 3**0.5))
        assert ((quantizer.zero_point >= 0.45) & (quantizer.zero_point < 0.6)).all()


def test_decomposition_is_a_sum_of_three_nested_maps() -> None:
    torch.manual_seed(8)
    p = torch.rand(2, 3, 4, 5).softmax(-1)
    step, zero = torch.tensor([0.1, 0.2, 0.4]), torch.tensor([0.0, 0.5, -0.3])
    levels, _ = decompose_attention(p, step, zero)
    scaled = 3 * p / step.view(3, 1, 1) + zero.view(3, 1, 1)
    # Half to even: 0.5 stays at level 0, 1.5 goes to 2 and 2.5 stays at 2.
    maps = (scaled > 0.5).int() + (scaled >= 1.5).int() + (scaled > 2.5).int()
    assert torch.equal(levels, maps.float())


def test_oscillation_loss() -> None:
    model = nn.Sequential(ReactOptions().make_linear(2, 1), nn.Linear(2, 2), ReactOptions().make_linear(1, 1))
    with torch.no_grad():
        model[0].weight.copy_(torch.tensor([[0.5, -2.0]]))
        model[2].weight.fill_(-1.0)
    loss = weight_oscillation_loss(model)
    assert float(loss.detach()) == pytest.approx((0.75 + 0.0) / 2)
    loss.backward()
    torch.testing.assert_close(model[0].weight.grad, torch.tensor([[-0.25, -0.25]]))


def test_recu_changes_gradients_only() -> None:
    torch.manual_seed(9)
    plain, recu = ReactOptions().make_linear(16, 8), ReactOptions(recu=True).make_linear(16, 8)
    recu.load_state_dict(plain.state_dict())
    x = torch.randn(4, 16)
    assert torch.equal(plain(x), recu(x))
    for layer in (plain, recu):
        layer(x).square().sum().backward()
    assert not torch.allclose(plain.weight.grad, recu.weight.grad)


def test_impossible_sizes_are_explained() -> None:
    with pytest.raises(UsageError, match="multiples of 224"):
        Bhvit(img_size=112)
    with pytest.raises(UsageError, match="multiple of 4"):
        DilatedMixer(6, OPTIONS)


def test_larger_images_have_more_windows() -> None:
    model = timm.create_model("test_bhvit", img_size=64, num_classes=4).eval()
    assert model(torch.randn(2, 3, 64, 64)).shape == (2, 4)


def test_features_of_every_stage() -> None:
    model = timm.create_model("test_bhvit", features_only=True).eval()
    maps = model(torch.randn(1, 3, 32, 32))
    assert [tuple(m.shape) for m in maps] == [(1, 8, 16, 16), (1, 16, 8, 8), (1, 32, 4, 4), (1, 64, 2, 2)]


def test_stages_switch_activations() -> None:
    torch.manual_seed(10)
    model = timm.create_model("test_bhvit").eval()
    images = torch.randn(2, 3, 32, 32)
    full = model(images)
    set_stage(model, "weights")
    real = model(images)
    assert not torch.equal(real, full)
    signs: list[Tensor] = []
    model.stages[0].blocks[0].mixer.convs[0].register_forward_pre_hook(lambda _m, inputs: signs.append(inputs[0]))
    model(images)
    assert len(signs[0].unique()) > 2
    set_stage(model, "full")
    assert torch.equal(model(images), full)
    assert set(signs[1].unique().tolist()) == {-1.0, 1.0}


@pytest.mark.parametrize(
    ("name", "convolutions", "windows"),
    [("test_bhvit", 2, 3), ("test_bhvit_convolution", 5, 0), ("test_bhvit_attention", 0, 5)],
)
def test_mixers_of_all_stages(name: str, convolutions: int, windows: int) -> None:
    torch.manual_seed(0)
    model = timm.create_model(name)
    kinds = [type(module) for module in model.modules()]
    assert (kinds.count(DilatedMixer), kinds.count(WindowAttention)) == (convolutions, windows)
    set_stage(model, "full")
    images = torch.randn(2, 3, 32, 32)
    calibrate(model, images)
    model(images).square().sum().backward()
    unreached = [key for key, value in model.named_parameters() if value.requires_grad and value.grad is None]
    assert unreached == []


def test_average_summaries_are_the_average_alone() -> None:
    tokens = prepared(WindowTokens(5, 2, "average"), 1)
    assert isinstance(tokens, WindowTokens)
    x = torch.randn(1, 4, 2, 5, dtype=torch.float64)
    expected = torch.stack([x[0, 2 * row : 2 * row + 2].mean(dim=(0, 1)) for row in range(2)])
    torch.testing.assert_close(tokens.summaries(x)[0], expected, **CLOSE)
    assert [name for name, _ in tokens.named_parameters()] == ["norm.weight", "norm.bias"]


def test_attention_of_one_bit_begins_with_ones_above_the_mean() -> None:
    estimator = CalibratedClip().double()
    x = torch.rand(3, 2, 5, 7, dtype=torch.float64)
    estimator.fit(x)
    levels, scale = estimator(x)
    assert levels.equal((x > x.mean()).double())
    torch.testing.assert_close(scale, 2 * x.mean())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"mixer": "mlp"}, "mixer is 'mlp'; choose one of hybrid, convolution, attention"),
        ({"attention": "real"}, "attention is 'real'; choose one of decomposed, banded, binary"),
        ({"summaries": "max"}, "summaries is 'max'; choose one of mixed, average"),
        ({"mixer": "attention", "window_size": 3}, "multiple"),
    ],
    ids=str,
)
def test_choices_that_do_not_exist_are_refused(arguments: dict[str, object], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        timm.create_model("test_bhvit", **arguments)
