"""Scaling, memory and roofline: what is measured, not how long it takes."""

from __future__ import annotations

from pathlib import Path

import pytest

from bitvit.bench.kernel_speed import binary_operators, measure_operators
from bitvit.bench.memory import measure_memory
from bitvit.bench.roofline import peak_fraction, profile
from bitvit.bench.scaling import measure_scaling, operations, thread_counts
from bitvit.bench.subject import Subject, subject_of_file, subject_of_model
from bitvit.complexity import operator_costs
from bitvit.program import write_file
from bitvit.runtime import available_isas
from tests.support.tiny_file import tiny_file


@pytest.fixture(scope="module")
def subject() -> Subject:
    return subject_of_model("test_gsb_deit")


def test_thread_counts() -> None:
    assert [thread_counts(most) for most in (1, 2, 3, 6, 8)] == [[1], [1, 2], [1, 2, 3], [1, 2, 4, 6], [1, 2, 4, 8]]


def test_scaling_has_every_setting(subject: Subject) -> None:
    notes: list[str] = []
    document = measure_scaling(
        subject, threads=1, most_threads=2, batches=(1, 3), sizes=(16, 30, 32), rounds=3, note=notes.append
    )
    assert [row["threads"] for row in document["threads"]] == [1, 2]
    assert [row["batch"] for row in document["batch"]] == [1, 3]
    assert document["batch"][1]["ms_per_image"] == document["batch"][1]["median_ms"] / 3
    # 30 pixels are no whole number of patches.
    assert [row["size"] for row in document["size"]] == [16, 32]
    assert len(notes) == 1 and "30" in notes[0]
    first, second = document["size"]
    assert (first["time_ratio"], first["operations_ratio"]) == (1, 1)
    # 18 against 66 tokens: linear layers grow with the tokens, attention with their square.
    assert 66 / 18 < second["operations_ratio"] < (66 / 18) ** 2


def test_a_resized_subject_is_the_same_architecture(subject: Subject) -> None:
    larger = subject.resized(32)
    assert (subject.image_size, larger.image_size) == ((16, 16), (32, 32))
    assert len(larger.file.program.ops) == len(subject.file.program.ops)
    assert operations(larger) > operations(subject)


def test_memory_of_a_fresh_process(tmp_path: Path) -> None:
    write_file(tmp_path / "tiny.bitvit", tiny_file())
    document = measure_memory(subject_of_file(tmp_path / "tiny.bitvit"), tmp_path, processes=1)
    assert document["file_bytes"] == (tmp_path / "tiny.bitvit").stat().st_size
    assert document["weight_bytes"] == sum(tensor.nbytes for tensor in tiny_file().tensors.values())
    assert document["arena_bytes"] > 0
    # Python and NumPy take some megabytes, and memory is never given back to a high-water mark.
    assert 2**22 < document["imports_peak_bytes"] <= document["process_peak_bytes"]
    assert document["load_to_first_answer_ms"] == pytest.approx(document["load_ms"] + document["first_answer_ms"])


def test_a_model_is_written_for_the_fresh_process(subject: Subject, tmp_path: Path) -> None:
    path = subject.write(tmp_path)
    assert subject_of_file(path).file.tensors.keys() == subject.file.tensors.keys()


def test_profile_counts_what_complexity_counts(subject: Subject) -> None:
    found = profile(subject.file, runs=1)
    costs = operator_costs(subject.file)
    assert [item["bops"] for item in found["operators"]] == [cost.bops for cost in costs]
    for item in found["operators"]:
        assert (item["peak_fraction"] is None) == (item["bops"] == 0)
    assert found["register_peak"] > 0 and found["popcount_peak"] > 0


def test_convolutions_of_a_file_are_counted() -> None:
    file = subject_of_model("test_bhvit").file
    found = [
        (op, cost) for op, cost in zip(file.program.ops, operator_costs(file), strict=True) if op.op == "binary_conv"
    ]
    assert found
    for op, cost in found:
        (cells, channels), (_, outputs) = (file.program.values[name].shape for name in (op.inputs[0], op.outputs[0]))
        assert cost.bops == cells * outputs * 9 * channels // 4  # 3 x 3 taps, 4 groups


def test_peak_fraction_by_hand() -> None:
    assert peak_fraction(5e9, 10.0, 1e12) == pytest.approx(0.5)
    assert peak_fraction(0, 10.0, 1e12) is None


@pytest.mark.parametrize("name", ["test_gsb_deit", "test_bhvit", "test_binary_deit"])
def test_every_binary_operator_is_timed_alone(name: str) -> None:
    subject = subject_of_model(name)
    operators = binary_operators(subject.file)
    binary = [cost for cost in operator_costs(subject.file) if cost.bops]
    assert sum(operator.count for operator in operators) == len(binary)
    assert sum(operator.count * operator.bops for operator in operators) == sum(cost.bops for cost in binary)
    rows = measure_operators(operators[:6], available_isas()[:1], runs=1)
    for row in rows:
        (figures,) = row["isas"].values()
        assert figures["rate"] == pytest.approx(row["bops"] / figures["ms"] * 1e3)
        assert row["numpy_ms"] > 0
