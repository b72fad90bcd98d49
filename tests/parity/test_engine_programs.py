"""Whole random Programs: engine and interpreter agree to the bit in every value, not only in the logits."""

from __future__ import annotations

from threading import Thread

import numpy as np
import pytest

from bitvit.program import BitvitFile, Interpreter, to_stored
from bitvit.runtime import Engine, available_isas
from tests.support.engine_comparison import assert_same_bits
from tests.support.random_programs import random_images, random_program
from tests.support.random_pyramids import random_pyramid
from tests.support.random_segmenters import random_segmenter

SEEDS = range(12)
FILES = [
    pytest.param(make(seed), id=f"{make.__name__}-{seed}")
    for make in (random_program, random_pyramid, random_segmenter)
    for seed in SEEDS
]


@pytest.mark.parametrize("file", FILES)
def test_every_value(file: BitvitFile) -> None:
    images = random_images(file, 3, 0)
    interpreter = Interpreter(file.program, file.tensors)
    expected = [interpreter.values(image) for image in images]
    names = [name for name in file.program.values if name != file.program.input]
    for isa in available_isas():
        engine = Engine(file.program, file.tensors, threads=1, isa=isa)
        found = engine.values(images, names)
        for name in names:
            for i in range(len(images)):
                array = to_stored(file.program.values[name].type, expected[i][name])
                assert_same_bits(found[name][i], array, f"{isa}, image {i}, value {name}")


@pytest.mark.parametrize("file", FILES)
def test_outputs_do_not_depend_on_memory_plan_threads_or_batch(file: BitvitFile) -> None:
    images = random_images(file, 7, 0)
    expected = Interpreter(file.program, file.tensors).run(images)
    for isa in available_isas():
        for threads in (1, 2, 5):
            engine = Engine(file.program, file.tensors, threads=threads, isa=isa)
            for batch in (7, 1, 2, 0):
                found = engine.run(images[:batch])
                assert_same_bits(found, expected[:batch], f"{isa}, {threads} threads, batch {batch}")


def test_calls_from_several_threads() -> None:
    file = random_program(1)
    images = random_images(file, 4, 1)
    expected = Interpreter(file.program, file.tensors).run(images)
    engines = [Engine(file.program, file.tensors, threads=2) for _ in range(2)]
    failures: list[str] = []

    def work(engine: Engine) -> None:
        for batch in (1, 4, 2, 3, 1, 4):
            if not np.array_equal(engine.run(images[:batch]), expected[:batch]):
                failures.append(f"batch {batch}")

    workers = [Thread(target=work, args=(engines[i % 2],)) for i in range(6)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert failures == []


def test_profile_has_every_operator() -> None:
    file = random_program(3)
    engine = Engine(file.program, file.tensors, threads=1)
    rows = engine.profile(random_images(file, 2, 0), runs=2)
    assert [row["op"] for row in rows] == [op.op for op in file.program.ops]
    assert any(row["milliseconds"] > 0 for row in rows), "nothing was measured"


def test_arena_is_smaller_than_all_values() -> None:
    file = random_program(5)
    engine = Engine(file.program, file.tensors, threads=1)
    total = sum(4 * int(np.prod(v.shape)) for v in file.program.values.values() if v.type == "f32")
    assert 0 < engine.arena_bytes < total
