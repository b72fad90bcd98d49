"""Operation counts against Table IX of the GSB paper and against formulas written down independently."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from bitvit.complexity import Charge, ComplexityError, Cost, complexity
from bitvit.errors import UsageError
from bitvit.models import create_model, list_models

# Table IX: n = 198 tokens, d = 384 channels, H = 6 heads, one block, in 10^6; the table cuts digits off.
TABLE_IX = {
    "deit_small_distilled_patch16_224": {
        "attention": (0, 147),
        "mlp": (0, 233),
        "ops": 380,
    },
    "binary_deit_small_patch16_224": {
        "attention": (147, 2.76),
        "mlp": (233, 1.52),
        "ops": 10.21,
    },
    "gsb_deit_small_patch16_224": {
        "attention": (267, 3.93),
        "mlp": (233, 1.14),
        "ops": 12.88,
    },
}


@pytest.mark.parametrize("name", TABLE_IX)
def test_table_ix(name: str) -> None:
    expected = TABLE_IX[name]
    block = complexity(name).block("blocks.5")
    for part in ("attention", "mlp"):
        bops, flops = expected[part]
        assert block[part].charge.bops / 1e6 == pytest.approx(bops, rel=0.01), part
        assert block[part].charge.flops / 1e6 == pytest.approx(flops, rel=0.01), part
    assert block["total"].charge.ops / 1e6 == pytest.approx(expected["ops"], rel=0.01)


def test_all_blocks_of_a_model_take_the_same_operations() -> None:
    result = complexity("gsb_deit_tiny_patch16_224")
    assert result.block_names == [f"blocks.{i}" for i in range(12)]
    charges = {result.block(name)["total"].charge for name in result.block_names}
    assert len(charges) == 1
    assert result.total == sum((result.block(name)["total"] for name in result.block_names), Cost()) + result.ends


def _gsb_formula(n: int, d: int, heads: int, hidden: int, k_a: int, k_v: int) -> dict[str, tuple[int, int]]:
    """docs/models.md section 6, for any k_a and k_v: (BOPs, FLOPs) of attention and MLP with learned parameters."""
    bops = 4 * n * d * d + n * n * d + (k_a + 1) * (k_v + 1) * n * n * d
    activations = 3 * n * d * 5 + 4 * (k_v + 1) * n * d
    attention_map = (3 + ((1 + 2 * k_a) if k_a else 0)) * n * n * heads
    return {
        "attention": (bops, activations + attention_map),
        "mlp": (2 * n * d * hidden, 3 * n * d + 3 * n * hidden),
    }


@pytest.mark.parametrize(("k_a", "k_v"), [(0, 0), (0, 3), (1, 1), (2, 2), (4, 1)])
def test_components_by_formula(k_a: int, k_v: int) -> None:
    scheme = {"components_attention": k_a, "components_value": k_v}
    block = complexity("test_gsb_deit_odd", scheme=scheme).block("blocks.0")
    # 20 x 20 pixels in patches of 5: 16 patches and two tokens; 36 channels, 3 heads, 126 hidden.
    for part, (bops, flops) in _gsb_formula(18, 36, 3, 126, k_a, k_v).items():
        assert (block[part].charge.bops, block[part].charge.flops) == (bops, flops), part


def test_baseline_by_formula() -> None:
    n, d, heads, hidden = 18, 32, 2, 128
    block = complexity("test_binary_deit").block("blocks.1")
    assert block["attention"].charge.bops == 4 * n * d * d + 2 * n * n * d
    assert block["attention"].charge.flops == 24 * n * d + 4 * n * n * heads
    assert block["mlp"].charge.bops == 2 * n * d * hidden
    assert block["mlp"].charge.flops == 4 * n * d + 4 * n * hidden


def test_first_stage_counts_products_with_real_activations_as_float_operations() -> None:
    from bitvit.models import set_stage

    model = create_model("test_gsb_deit")
    set_stage(model, "weights")
    block = complexity(model).block("blocks.0")
    n, d = 18, 32
    assert block["total"].charge.bops == 0
    assert block["attention"].charge.flops == 4 * n * d * d + 2 * n * n * d


def test_binaryvit_block_by_formula() -> None:
    """The last block of a micro BinaryViT: every layer's binary products, without token reduction."""
    name = "binaryvit_micro_patch2_32"
    model = create_model(name)
    result = complexity(name)
    block = result.block(result.block_names[-1])
    last = model.stages[-1].blocks[-1]
    channels, hidden = last.mlp.expand.in_features, last.mlp.expand.out_features
    n = model.stages[-1].downsampling.position.size
    tokens = n[0] * n[1]
    # q, k, v, output; scores and one map of the attention; two layers of the MLP
    assert block["attention"].charge.bops == 4 * tokens * channels**2 + 2 * tokens**2 * channels
    assert block["mlp"].charge.bops == 2 * tokens * channels * hidden
    assert block["mlp"].charge.flops == 2 * tokens * (channels + hidden)


def test_bhvit_mixers_by_formula() -> None:
    name = "bhvit_micro_patch2_32"
    model = create_model(name)
    result = complexity(name)
    convolution = result.block("stages.0.blocks.0")["attention"].charge
    channels = model.stages[0].blocks[0].mlp.expand.in_features
    side = 32 // 2
    # three 3 x 3 convolutions in 4 groups, which share one sign
    assert convolution.bops == 3 * side**2 * channels * (channels // 4) * 9
    assert convolution.flops == 2 * side**2 * channels

    attention = result.block("stages.2.blocks.0")["attention"].charge
    mixer = model.stages[2].blocks[0].mixer
    channels, side, window = mixer.query.in_features, 32 // 8, mixer.tokens.window
    windows = (side // window) ** 2
    tokens = window**2 + windows
    # levels 0..3 of the attention are three binary maps
    products = windows * (3 * tokens * channels**2 + 4 * tokens**2 * channels) + side**2 * channels**2
    assert attention.bops == products


def test_ends_count_embedding_and_heads() -> None:
    ends = complexity("test_gsb_deit").ends.charge
    patches, channels, classes = 16, 32, 10
    assert ends.bops == 0
    assert ends.flops == patches * 4 * 4 * 3 * channels + 2 * channels * classes


@pytest.mark.parametrize("name", [*list_models("test_*"), *list_models("deit_test_*")])
def test_every_small_model_is_counted_completely(name: str) -> None:
    result = complexity(name)
    model = create_model(name)
    assert result.uncounted == []
    assert result.total.parameters == sum(parameter.numel() for parameter in model.parameters())
    assert result.total.float_bytes == 4 * result.total.parameters
    assert result.total.charge.ops > 0


def test_packed_bytes_are_charged_to_their_modules() -> None:
    """That the sums are those of the file: tests/parity/test_registered_models.py."""
    mlp = complexity("test_gsb_deit_odd").block("blocks.0")["mlp"]
    assert mlp.packed_bytes > mlp.binary_parameters / 8


def test_full_precision_models_have_no_packed_size() -> None:
    assert complexity("deit_test_distilled_patch4_16").file_bytes == 0


def test_doubling_the_image_side_quadruples_the_patches() -> None:
    small = complexity("gsb_deit_micro_patch4_32")
    large = complexity("gsb_deit_micro_patch4_32", img_size=64, input_size=(3, 64, 64))
    by_name = [{layer.name: layer.cost.charge for layer in result.layers} for result in (small, large)]
    assert by_name[1]["blocks.0.attn.qkv"].bops / by_name[0]["blocks.0.attn.qkv"].bops == (16 * 16 + 2) / (8 * 8 + 2)
    assert by_name[1]["patch_embed.proj"].flops == 4 * by_name[0]["patch_embed.proj"].flops


def test_a_layer_without_a_rule_is_named() -> None:
    class Odd(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.ones(3))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x * self.weight[:, None, None]

    model = nn.Sequential(Odd(), nn.Flatten(), nn.Linear(12, 2))
    result = complexity(model, input_size=(3, 2, 2))
    assert result.uncounted == ["0 (Odd)"]
    assert result.total.charge == Charge(flops=24)

    Odd.charge = lambda self, call: Charge(other_flops=12)  # type: ignore[attr-defined]
    result = complexity(model, input_size=(3, 2, 2))
    assert result.uncounted == []
    assert result.total.charge == Charge(flops=24, other_flops=12)


def test_a_layer_that_runs_twice_is_charged_twice() -> None:
    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.linear = nn.Linear(4, 4)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.linear(self.linear(x.flatten(1)[:, :4]))

    result = complexity(Twice(), input_size=(1, 2, 2))
    assert result.uncounted == ["the model itself (Twice)"]
    assert result.total.charge.flops == 32
    assert result.total.parameters == 20


def test_counting_leaves_the_model_as_it_was() -> None:
    model = create_model("test_gsb_deit").train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    complexity(model)
    assert model.training
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
    assert not any(module._forward_hooks for module in model.modules())


def test_json_has_the_block_of_the_table() -> None:
    document = complexity("gsb_deit_small_patch16_224").to_dict()
    assert document["block"]["bops"] / 1e6 == pytest.approx(267 + 233, rel=0.01)
    assert document["block"]["attention"]["flops"] / 1e6 == pytest.approx(3.93, rel=0.01)
    assert document["block"]["ops"] / 1e6 == pytest.approx(12.88, rel=0.01)
    assert document["total"]["bops"] == 12 * document["block"]["bops"]
    assert len(document["blocks"]) == 12


def test_unknown_model() -> None:
    with pytest.raises(UsageError, match="no_such_model"):
        complexity("no_such_model")


def test_wrong_image_size() -> None:
    with pytest.raises(ComplexityError, match=r"\[3, 40, 40\]"):
        complexity("test_gsb_deit", input_size=(3, 40, 40))
