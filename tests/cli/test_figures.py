"""Commands that print figures: pure JSON on standard output, tables that hold the same."""

from __future__ import annotations

from pathlib import Path

import pytest

from bitvit.cli import build_parser
from bitvit.cli.entry import COMMANDS, command_module
from tests.support.command import Command


def test_complexity_of_a_model(bitvit: Command) -> None:
    result = bitvit("complexity", "gsb_deit_small_patch16_224", "--json")
    assert (result.code, result.err) == (0, "")
    block = result.json["block"]
    assert block["bops"] / 1e6 == pytest.approx(267 + 233, rel=0.01)
    assert block["attention"]["flops"] / 1e6 == pytest.approx(3.93, rel=0.01)
    assert block["mlp"]["flops"] / 1e6 == pytest.approx(1.14, rel=0.01)
    assert block["ops"] / 1e6 == pytest.approx(12.88, rel=0.01)


def test_complexity_table_groups_equal_blocks(bitvit: Command) -> None:
    result = bitvit("complexity", "deit_small_distilled_patch16_224")
    assert "blocks.0 to 11, each: attention" in result.out
    assert "146.89" in result.out
    assert "blocks.7.mlp.fc1" in bitvit("complexity", "deit_small_distilled_patch16_224", "--layers").out


def test_complexity_of_a_file_counts_every_operator(bitvit: Command, packed_file: Path) -> None:
    result = bitvit("complexity", packed_file, "--json")
    assert (result.code, result.err) == (0, "")
    operators = result.json["operators"]
    assert result.json["total"]["bops"] == sum(item["bops"] for item in operators)
    # 18 tokens, 32 channels; q, k, v of both blocks see all tokens.
    linear = [item for item in operators if item["operator"].startswith("binary_linear")]
    assert sum(item["bops"] for item in linear) >= 2 * 3 * 18 * 32 * 32
    assert bitvit("complexity", packed_file).code == 0


def test_unknown_model(bitvit: Command) -> None:
    bitvit("complexity", "gsb_deit_enormous").assert_one_error_line("gsb_deit_enormous")


def test_models(bitvit: Command) -> None:
    names = {row["name"]: row for row in bitvit("models", "--json").json}
    assert names["gsb_deit_small_patch16_224"]["parameters"] > 22e6
    assert 0.8 < names["gsb_deit_small_patch16_224"]["binary_parameters"] / 25e6 < 1
    assert not any("test_" in name for name in names)
    assert "test_gsb_deit" in bitvit("models", "--tests").out
    bitvit("models", "nothing_like_this*").assert_one_error_line("nothing_like_this*")


def test_info(bitvit: Command, packed_file: Path) -> None:
    result = bitvit("info", packed_file, "--json")
    assert (result.code, result.err) == (0, "")
    info = result.json
    assert info["size_bytes"] == packed_file.stat().st_size
    assert info["labels"] == [f"class {i}" for i in range(10)]
    assert info["preprocessing"]["image_size"] == [16, 16]
    assert sum(op["bytes"] for op in info["operators"]) == info["tensor_bytes"]
    for options in ((), ("--ops",)):
        text = bitvit("info", packed_file, *options).out
        assert "value_product" in text
        assert "class 9" in text


def test_profile_covers_every_operator(bitvit: Command, packed_file: Path) -> None:
    info = bitvit("info", packed_file, "--profile", "--runs", 2, "--json").json
    assert len(info["profile"]["operators"]) == len(info["operators"])
    assert "ms" in bitvit("info", packed_file, "--profile", "--runs", 2).out


def test_bench_without_other_engines(bitvit: Command, packed_file: Path, tmp_path: Path) -> None:
    figure = tmp_path / "bench.png"
    result = bitvit("bench", packed_file, "--only-bitvit", "--rounds", 3, "--json", "--figure", figure)
    assert result.code == 0
    (timing,) = result.json["results"]
    assert timing["rounds"] == 3
    assert 0 < timing["fastest_ms"] <= timing["median_ms"]
    assert timing["size_bytes"] == packed_file.stat().st_size
    assert figure.read_bytes().startswith(b"\x89PNG")


def test_profile_shows_the_share_of_the_peak(bitvit: Command, packed_file: Path) -> None:
    profile = bitvit("info", packed_file, "--profile", "--runs", 2, "--json").json["profile"]
    binary = [item for item in profile["operators"] if item["bops"]]
    assert binary
    for item in binary:
        assert item["peak_fraction"] == pytest.approx(
            item["bops"] / (item["fastest_milliseconds"] / 1e3) / profile["register_peak"]
        )
    assert "of the peak" in bitvit("info", packed_file, "--profile", "--runs", 2).out


def test_bench_against_pytorch(bitvit: Command) -> None:
    result = bitvit(
        "bench", "--model", "test_gsb_deit", "--rounds", 3, "--batch", 2, "--engines", "pytorch", "--json"
    )  # fmt: skip
    assert result.code == 0
    assert [timing["name"] for timing in result.json["results"]] == ["bitvit 1-bit", "PyTorch fp32"]
    assert "OpenVINO bf16" in result.json["missing"]
    assert "not measured" in bitvit("bench", "--model", "test_gsb_deit", "--rounds", 3, "--engines", "pytorch").out
    bitvit("bench", "--model", "test_gsb_deit", "--engines", "tvm").assert_one_error_line("'tvm'", "openvino")


def test_full_bench(bitvit: Command, tmp_path: Path) -> None:
    figure = tmp_path / "full.png"
    options = ("--only-bitvit", "--full", "--sizes", "16,32", "--rounds", 3)
    result = bitvit("bench", "--model", "test_gsb_deit", *options, "--json", "--figure", figure)
    assert result.code == 0
    assert {"memory", "scaling"} <= result.json.keys()
    assert [row["size"] for row in result.json["scaling"]["size"]] == [16, 32]
    assert figure.read_bytes().startswith(b"\x89PNG")
    text = bitvit("bench", "--model", "test_gsb_deit", *options).out
    for words in ("process peak", "against one thread", "32 x 32"):
        assert words in text


@pytest.mark.parametrize("name", COMMANDS)
def test_help_has_examples(bitvit: Command, name: str) -> None:
    result = bitvit(name, "--help")
    assert result.code == 0
    assert f"bitvit {name}" in result.out.partition("examples:")[2]


def test_every_example_parses() -> None:
    for name in COMMANDS:
        for example in command_module(name).EXAMPLES:
            command = example.rpartition(" | ")[2].partition(" > ")[0]  # what a shell adds before and after is not ours
            words = [word.strip("'") for word in command.split() if "=" not in word or "." in word.partition("=")[0]]
            assert words[0] == "bitvit"
            build_parser().parse_args(words[1:])


@pytest.mark.parametrize("arguments", [(), ("fly",), ("predict",), ("bench",), ("train", "--data", "digits")])
def test_wrong_usage_is_one_line(bitvit: Command, arguments: tuple[str, ...]) -> None:
    bitvit(*arguments).assert_one_error_line()
