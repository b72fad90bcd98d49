"""Operation counts of a packed file against the model's own counts and formulas."""

from __future__ import annotations

from pathlib import Path

import pytest

from bitvit.complexity import FileComplexity, complexity, file_complexity
from bitvit.export import export_model
from bitvit.models import create_model

TOKENS, CHANNELS, HIDDEN, HEADS = 18, 32, 128, 2


@pytest.fixture(scope="module")
def costs(tmp_path_factory: pytest.TempPathFactory) -> FileComplexity:
    path = tmp_path_factory.mktemp("file") / "tiny.bitvit"
    export_model(create_model("test_gsb_deit"), path, labels=[str(i) for i in range(10)])
    return file_complexity(path)


def test_bytes_are_those_of_the_model(costs: FileComplexity) -> None:
    assert costs.total.size_bytes == complexity("test_gsb_deit").total.packed_bytes
    assert costs.file_bytes == Path(costs.path).stat().st_size == costs.total.size_bytes + costs.header_bytes


def test_first_block_is_counted_like_the_model(costs: FileComplexity) -> None:
    """The last block may be pruned to the rows that the heads read, so only the first one must agree."""
    scores, *_ = [item for item in costs.operators if item.operator == "attention_masks"]
    product, *_ = [item for item in costs.operators if item.operator == "value_product"]
    assert scores.bops == TOKENS * TOKENS * CHANNELS
    assert product.bops == 9 * TOKENS * TOKENS * CHANNELS
    linear = [item.bops for item in costs.operators if item.operator.startswith("binary_linear")]
    # q, k, v, proj, fc1, fc2 of the first block
    expected = 4 * [TOKENS * CHANNELS * CHANNELS] + 2 * [TOKENS * CHANNELS * HIDDEN]
    assert sorted(linear[:6]) == sorted(expected)


def test_ends_are_eight_bit_products(costs: FileComplexity) -> None:
    by_kind = {item.operator: item for item in costs.by_kind()}
    assert by_kind["patch_conv_u8"].integer_ops == 16 * CHANNELS * 4 * 4 * 3
    assert by_kind["linear_i8"].integer_ops == 2 * CHANNELS * 10
    assert costs.total.bops <= complexity("test_gsb_deit").total.charge.bops


def test_folding_leaves_fewer_float_operations_than_the_paper_charges(costs: FileComplexity) -> None:
    charge = complexity("test_gsb_deit").total.charge
    assert costs.total.flops < charge.flops + charge.other_flops
