"""Whole Programs: images are independent, every operator is reached, and intermediate values can be looked at."""

from __future__ import annotations

import numpy as np
import pytest

from bitvit.program import OPERATORS, Interpreter, OperandError, Value, run_operator
from tests.support.random_programs import random_images, random_program
from tests.support.random_pyramids import random_pyramid
from tests.support.random_segmenters import random_segmenter
from tests.support.tiny_file import tiny_file

SEEDS = range(10)
MAKERS = (random_program, random_pyramid, random_segmenter)


@pytest.mark.parametrize("make", MAKERS)
def test_an_image_does_not_depend_on_its_batch(make: type) -> None:
    for seed in SEEDS:
        file = make(seed)
        interpreter = Interpreter(file.program, file.tensors)
        images = random_images(file, 3, seed)
        together = interpreter.run(images)
        assert together.dtype == {"f32": np.float32, "i32": np.int32}[file.program.values[file.program.output].type]
        assert np.isfinite(together).all(), seed
        alone = np.concatenate([interpreter.run(image[None]) for image in images[::-1]])[::-1]
        assert together.tobytes() == alone.tobytes(), seed
        assert interpreter.run(images[:0]).shape == (0, *together.shape[1:])


def test_random_programs_reach_every_operator() -> None:
    programs = [make(seed).program for make in MAKERS for seed in range(30)]
    assert {op.op for program in programs for op in program.ops} == set(OPERATORS)


def test_random_programs_do_not_ignore_their_image() -> None:
    for make in MAKERS:
        differing = 0
        for seed in SEEDS:
            file = make(seed)
            logits = Interpreter(file.program, file.tensors).run(random_images(file, 2, seed))
            differing += not np.array_equal(logits[0], logits[1])
        assert differing >= 8, make


def test_values_have_their_declared_shapes_and_forms() -> None:
    dtypes = {"u8": np.uint8, "f32": np.float32, "sign": np.bool_, "mask": np.bool_, "ternary": np.int8}
    file = random_program(1)
    image = random_images(file, 1, 1)[0]
    values = Interpreter(file.program, file.tensors).values(image)
    assert values.keys() == file.program.values.keys()
    for name, value in file.program.values.items():
        assert values[name].shape == value.shape, name
        assert values[name].dtype == dtypes[value.type], name


def test_tiny_program_in_binary64() -> None:
    file = tiny_file()
    image = random_images(file, 1, 0)[0]
    t = {name: tensor.astype(np.float64) for name, tensor in file.tensors.items()}
    sums = np.einsum("hwc,ohwc->oc", image.astype(np.float64), t["patch.weight"])
    x = (t["patch.scale"] * sums).sum(-1) + t["patch.bias"]
    normal = (x - x.mean()) / np.sqrt(x.var() + 1e-6)
    signs = np.where(normal * t["norm.weight"] < t["norm.threshold"], -1, 1)
    weight = 1 - 2 * np.unpackbits(file.tensors["head.weight"], axis=1, count=11, bitorder="little").astype(int)
    logits = weight @ signs * t["head.scale"] + t["head.bias"]
    # The integer part is exact; one product and one sum round.
    np.testing.assert_allclose(Interpreter(file.program, file.tensors).run(image[None])[0], logits, rtol=1e-6)


@pytest.mark.parametrize(
    "images", [np.zeros((4, 4, 3), np.uint8), np.zeros((1, 4, 5, 3), np.uint8), np.zeros((1, 4, 4, 3), np.float32)]
)
def test_other_images_are_refused(images: np.ndarray) -> None:  # type: ignore[type-arg]
    file = tiny_file()
    with pytest.raises(OperandError):
        Interpreter(file.program, file.tensors).run(images)


def test_overflow_is_no_reason_to_stop() -> None:
    x = np.full((1, 20), 3e38, np.float32)
    value = Value("f32", x.shape)
    ones = np.ones(20, np.float32)
    attrs = {"eps": 1e-6}
    (normalized,) = run_operator("layer_norm", [x], [value], [value], attrs, {"weight": ones, "bias": ones})
    assert np.isnan(normalized).all(), "infinite mean, infinite deviation"
    tensors = {"shift": x[0], "step": ones[:1], "scale": ones[:2], "bias": ones[:2]}
    (product,) = run_operator(
        "linear_i8", [x], [value], [Value("f32", (1, 2))], {}, {**tensors, "weight": np.ones((2, 20), np.int8)}
    )
    assert product.tolist() == [[127 * 20 + 1] * 2], "the largest code, as for any other large input"
