"""One defect at a time in a valid Program, and the error named after it."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from bitvit.program import (
    BitvitFile,
    Interpreter,
    LabelsError,
    MissingTensorError,
    NonFiniteError,
    OperandError,
    OperatorAttributeError,
    OperatorParameterError,
    PreprocessingError,
    ProgramError,
    SizeLimitError,
    TensorContentError,
    TensorShapeError,
    TensorTypeError,
    UnknownOperatorError,
    UnusedTensorError,
    Value,
    ValueDefinitionError,
    to_bytes,
    validate_file,
)
from tests.support.random_programs import random_program
from tests.support.random_pyramids import random_pyramid
from tests.support.random_segmenters import random_segmenter
from tests.support.tiny_file import tiny_file


def change_op(index: int, **fields: Any) -> Callable[[BitvitFile], None]:
    def change(file: BitvitFile) -> None:
        file.program.ops[index] = replace(file.program.ops[index], **fields)

    return change


def change_tensor(name: str, array: Any) -> Callable[[BitvitFile], None]:
    return lambda file: file.tensors.__setitem__(name, array)


def change_value(name: str, type: Any, *shape: int) -> Callable[[BitvitFile], None]:
    return lambda file: file.program.values.__setitem__(name, Value(type, shape))


def change_preprocessing(**fields: Any) -> Callable[[BitvitFile], None]:
    return lambda file: setattr(file, "preprocessing", replace(file.preprocessing, **fields))


def spoil_tensor(name: str, value: float) -> Callable[[BitvitFile], None]:
    return lambda file: file.tensors[name].__setitem__((0,) * file.tensors[name].ndim, value)


def set_padding(file: BitvitFile) -> None:
    file.tensors["head.weight"][1, 1] |= 0b1000_0000


def huge_image(file: BitvitFile) -> None:
    file.program.values["image"] = Value("u8", (8196, 4, 3))


def duplicate_label(file: BitvitFile) -> None:
    file.labels.append("one too many")


def bias_head(file: BitvitFile) -> None:
    file.tensors["head.bias"] = np.zeros((3, 1), np.float32)


HEAD = {"weight": "head.weight", "scale": "head.scale", "bias": "head.bias"}

DEFECTS: dict[str, tuple[type[ProgramError], Callable[[BitvitFile], object]]] = {
    "unknown operator": (UnknownOperatorError, change_op(1, op="layer_norm_mask")),
    "undeclared input": (ValueDefinitionError, change_op(1, inputs=("y",))),
    "undeclared output": (ValueDefinitionError, change_op(1, outputs=("y",))),
    "read before written": (ValueDefinitionError, change_op(1, inputs=("logits",))),
    "written twice": (ValueDefinitionError, change_op(1, outputs=("x",))),
    "input overwritten": (ValueDefinitionError, change_op(1, outputs=("image",))),
    "never written": (ValueDefinitionError, change_value("extra", "f32", 1)),
    "no such program input": (ValueDefinitionError, lambda f: setattr(f.program, "input", "picture")),
    "no such program output": (ValueDefinitionError, lambda f: setattr(f.program, "output", "classes")),
    "output of other type": (OperandError, lambda f: setattr(f.program, "output", "signs")),
    "input is not u8": (OperandError, change_value("image", "f32", 4, 4, 3)),
    "input of two channels": (OperandError, change_value("image", "u8", 4, 4, 2)),
    "input is grey, weights are not": (TensorShapeError, change_value("image", "u8", 4, 4, 1)),
    "unknown value type": (OperandError, change_value("signs", "int4", 1, 11)),
    "declared with another shape": (OperandError, change_value("x", "f32", 1, 12)),
    "declared with another type": (OperandError, change_value("signs", "mask", 1, 11)),
    "image not divisible": (OperandError, change_value("image", "u8", 4, 5, 3)),
    "too few inputs": (OperandError, change_op(1, inputs=())),
    "too many inputs": (OperandError, change_op(2, inputs=("signs", "signs"))),
    "no outputs": (OperandError, change_op(1, outputs=())),
    "input of another type": (OperandError, change_op(2, inputs=("x",))),
    "zero size": (SizeLimitError, change_value("x", "f32", 0, 11)),
    "negative size": (SizeLimitError, change_value("x", "f32", 1, -11)),
    "no axes": (SizeLimitError, change_value("x", "f32")),
    "five axes": (SizeLimitError, change_value("x", "f32", 1, 1, 1, 1, 11)),
    "huge size": (SizeLimitError, change_value("x", "f32", 1, 1 << 40)),
    "huge value": (SizeLimitError, change_value("x", "f32", 1 << 20, 1 << 20)),
    "huge image": (SizeLimitError, huge_image),
    "missing attribute": (OperatorAttributeError, change_op(0, attrs={})),
    "unknown attribute": (OperatorAttributeError, change_op(0, attrs={"patch": 4, "stride": 4})),
    "attribute of another type": (OperatorAttributeError, change_op(0, attrs={"patch": 4.0})),
    "boolean attribute": (OperatorAttributeError, change_op(0, attrs={"patch": True})),
    "attribute out of range": (OperatorAttributeError, change_op(0, attrs={"patch": 0})),
    "eps is zero": (OperatorAttributeError, change_op(1, attrs={"eps": 0.0})),
    "eps is zero in binary32": (OperatorAttributeError, change_op(1, attrs={"eps": 1e-60})),
    "eps is text": (OperatorAttributeError, change_op(1, attrs={"eps": "1e-6"})),
    "eps is NaN": (NonFiniteError, change_op(1, attrs={"eps": float("nan")})),
    "eps beyond binary32": (NonFiniteError, change_op(1, attrs={"eps": 1e39})),
    "missing parameter": (OperatorParameterError, change_op(2, tensors={k: v for k, v in HEAD.items() if k != "bias"})),
    "unknown parameter": (OperatorParameterError, change_op(2, tensors={**HEAD, "shift": "head.bias"})),
    "missing tensor": (MissingTensorError, lambda f: f.tensors.pop("head.bias")),
    "unused tensor": (UnusedTensorError, change_tensor("more", np.zeros(1, np.float32))),
    "tensor of doubles": (TensorTypeError, change_tensor("head.bias", np.zeros(3))),
    "tensor of other integers": (TensorTypeError, change_tensor("patch.weight", np.zeros((11, 4, 4, 3), np.uint8))),
    "tensor of another shape": (TensorShapeError, change_tensor("head.scale", np.ones(4, np.float32))),
    "tensor of another rank": (TensorShapeError, bias_head),
    "packed weights too wide": (TensorShapeError, change_tensor("head.weight", np.zeros((3, 3), np.uint8))),
    "empty tensor": (SizeLimitError, change_tensor("head.bias", np.zeros(0, np.float32))),
    "NaN in a tensor": (NonFiniteError, spoil_tensor("norm.threshold", np.nan)),
    "infinity in a tensor": (NonFiniteError, spoil_tensor("patch.scale", -np.inf)),
    "padding bits": (TensorContentError, set_padding),
    "too many labels": (LabelsError, duplicate_label),
    "too few labels": (LabelsError, lambda f: f.labels.pop()),
    "label is no text": (LabelsError, lambda f: f.labels.__setitem__(0, 7)),
    "other image size": (PreprocessingError, change_preprocessing(image_size=(4, 8))),
    "resize below crop": (PreprocessingError, change_preprocessing(resize_size=3)),
    "huge resize": (PreprocessingError, change_preprocessing(resize_size=1 << 20)),
    "unknown interpolation": (PreprocessingError, change_preprocessing(interpolation="area")),
    "two means": (PreprocessingError, change_preprocessing(mean=(0.5, 0.5))),
    "std of zero": (PreprocessingError, change_preprocessing(std=(0.5, 0.0, 0.5))),
    "std of infinity": (PreprocessingError, change_preprocessing(std=(0.5, float("inf"), 0.5))),
}


def test_the_untouched_file_is_valid() -> None:
    file = tiny_file()
    validate_file(file)
    assert to_bytes(file) == to_bytes(tiny_file()), "validation changes nothing"


@pytest.mark.parametrize("defect", sorted(DEFECTS))
def test_defect_has_its_error(defect: str) -> None:
    error, spoil = DEFECTS[defect]
    file = tiny_file()
    spoil(file)
    with pytest.raises(ProgramError) as caught:
        validate_file(file)
    assert type(caught.value) is error, caught.value
    message = str(caught.value)
    assert message
    assert "\n" not in message


# Rules of single operators, broken in random programs: (operator, parameter or attribute, bad content, error).
OPERATOR_DEFECTS: list[tuple[str, str, Any, type[ProgramError]]] = [
    ("linear_i8", "step", [0.0], TensorContentError),
    ("linear_i8", "step", [-1.0], TensorContentError),
    ("binary_linear_threshold", "flip", 2, TensorContentError),
    ("attention_masks", "table", 2.0, TensorContentError),
    ("attention_masks", "planes", [], OperatorAttributeError),
    ("attention_masks", "planes", "ones", OperatorAttributeError),
    ("attention_masks", "planes", [["less"]], OperatorAttributeError),
    ("attention_masks", "planes", [["row_max"]], OperatorAttributeError),
    ("attention_masks", "planes", [["row_max", "0.7"]], OperatorAttributeError),
    ("attention_masks", "planes", [["row_max", float("inf")]], NonFiniteError),
    ("attention_masks", "planes", [[]], OperatorAttributeError),
    ("attention_masks", "planes", [["ones"]] * 9, OperatorAttributeError),
    (
        "attention_masks",
        "planes",
        [["ones"]] * 2,
        OperatorParameterError,
    ),  # thresholds are given, but nothing needs them
    ("attention_masks_statistics", "phase", 3, OperatorAttributeError),
    ("attention_masks_statistics", "patches", -1, OperatorAttributeError),
    ("value_planes", "factors", 0.7, OperatorAttributeError),
    ("value_planes", "factors", [0.7] * 8, OperatorAttributeError),
    ("value_planes", "factors", [None], OperatorAttributeError),
    ("scale_by", "index", 2, OperatorAttributeError),
    ("slice_rows", "start", -1, OperatorAttributeError),
    ("slice_rows", "stop", 10_000, OperatorAttributeError),
    ("stencil", "grid", [1, 1], OperatorAttributeError),
    ("stencil", "grid", [-6, -6], OperatorAttributeError),
    ("stencil", "groups", [], OperatorAttributeError),
    ("stencil", "groups", [[]], OperatorAttributeError),
    ("stencil", "groups", [[[0, 0, 0]]], OperatorAttributeError),
    ("stencil", "groups", [[[0, 1 << 40]]], OperatorAttributeError),
    ("stencil", "wrap", 1, OperatorAttributeError),
    ("stencil", "divisor", 0, OperatorAttributeError),
    ("pool", "kind", "median", OperatorAttributeError),
    ("pool", "kernel", 63, OperatorAttributeError),
    ("pool", "padding", 9, OperatorAttributeError),
    ("pool", "stride", 0, OperatorAttributeError),
    ("upsample", "factor", 0, OperatorAttributeError),
    ("merge_patches", "patch", 63, OperatorAttributeError),
    ("binary_conv", "kernel", 2, OperatorAttributeError),
    ("binary_conv", "dilation", 0, OperatorAttributeError),
    ("binary_conv", "groups", 3, OperandError),
    ("binary_conv", "weight", 0xFF, TensorContentError),
    ("gather_rows", "index", -1, TensorContentError),
    ("gather_rows", "index", 1 << 20, TensorContentError),
    ("repeat_channels", "times", 1 << 24, OperatorAttributeError),
    ("mean_channels", "group", 0, OperatorAttributeError),
    ("reshape_rows", "rows", 0, OperatorAttributeError),
    ("windows_to_heads", "windows", 0, OperatorAttributeError),
    ("heads_to_windows", "windows", 0, OperatorAttributeError),
]


CANDIDATES = [make(seed) for make in (random_program, random_pyramid, random_segmenter) for seed in range(12)]


@pytest.mark.parametrize(("kind", "name", "content", "error"), OPERATOR_DEFECTS)
def test_operator_rules(kind: str, name: str, content: Any, error: type[ProgramError]) -> None:
    for file in CANDIDATES:
        places = [i for i, op in enumerate(file.program.ops) if op.op == kind]
        if not places:
            continue
        file = copy.deepcopy(file)
        op = file.program.ops[places[0]]
        if name in op.attrs:
            change_op(places[0], attrs={**op.attrs, name: content})(file)
        elif isinstance(content, list):
            file.tensors[op.tensors[name]] = np.array(content, np.float32)
        else:
            spoil_tensor(op.tensors[name], content)(file)
        with pytest.raises(ProgramError) as caught:
            validate_file(file)
        assert type(caught.value) is error, f"{file.provenance}: {caught.value}"
        return
    pytest.fail(f"no random program uses {kind}")


def test_tensors_may_be_shared() -> None:
    file = tiny_file()
    file.tensors.pop("norm.threshold")
    change_op(1, tensors={"weight": "norm.weight", "threshold": "norm.weight"})(file)
    validate_file(file)
    twice = tiny_file()
    twice.tensors["norm.threshold"] = twice.tensors["norm.weight"].copy()
    images = np.random.default_rng(0).integers(0, 256, (5, 4, 4, 3), dtype=np.uint8)
    shared, separate = (Interpreter(each.program, each.tensors).run(images) for each in (file, twice))
    np.testing.assert_array_equal(shared, separate)
