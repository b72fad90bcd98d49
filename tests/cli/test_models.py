"""`bitvit models` lists networks of every task."""

from __future__ import annotations

from tests.support.command import Command


def test_segmentation_networks_are_listed_by_their_names(bitvit: Command) -> None:
    rows = bitvit("models", "*fpn*", "--json").json
    names = {row["name"]: row for row in rows}
    assert {"bhvit_micro_fpn_patch4_64", "bhvit_small_fpn_patch4_448"} <= names.keys()
    assert names["bhvit_micro_fpn_patch4_64"]["input_size"] == [3, 64, 64]
    assert names["bhvit_micro_fpn_patch4_64"]["binary_parameters"] > 500_000
    assert not any(name.startswith("test_") for name in names)
