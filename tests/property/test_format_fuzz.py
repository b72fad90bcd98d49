"""Whatever happens to the bytes of a file, the reader answers with a `ProgramError` or with the file as it was."""

from __future__ import annotations

import copy
import json
import math
from dataclasses import replace
from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from bitvit.program import (
    BitvitFile,
    Interpreter,
    ProgramError,
    read_bytes,
    to_bytes,
    validate_file,
)
from bitvit.program.metadata import program_to_json
from tests.support.random_programs import random_images, random_program
from tests.support.random_pyramids import random_pyramid
from tests.support.random_segmenters import random_segmenter
from tests.support.sealed_file import parts, sealed
from tests.support.tiny_file import tiny_file

FILES = [
    tiny_file(),
    *(random_program(seed) for seed in range(4)),
    *(random_pyramid(seed) for seed in range(2)),
    *(random_segmenter(seed) for seed in range(2)),
]
CONTENTS = [to_bytes(file) for file in FILES]

which = st.integers(0, len(FILES) - 1)


def assert_refused_or_unchanged(data: bytes, original: bytes) -> None:
    refusal = None
    try:
        file = read_bytes(data)
    except ProgramError as error:
        refusal = str(error)
    if refusal is None:
        assert to_bytes(file) == original
    else:
        assert refusal
        assert "\n" not in refusal


def assert_runs(file: BitvitFile) -> None:
    """An accepted file gives what it declares: a logit for each class, or a class for each cell of its label map."""
    numbers = math.prod(file.program.values[file.program.output].shape)
    if file.task == "classification":
        assert numbers == len(file.labels)
    answer = Interpreter(file.program, file.tensors).run(random_images(file, 1, 0))
    assert answer.shape == (1, numbers)
    if file.task == "segmentation":
        assert answer.min() >= 0
        assert answer.max() < len(file.labels)


@settings(max_examples=400)
@given(which, st.data())
def test_overwritten_bytes(index: int, data: st.DataObject) -> None:
    content = bytearray(CONTENTS[index])
    # Half of the places in the header, where there is more to get wrong.
    header_size = 8 + int.from_bytes(content[:8], "little")
    for _ in range(data.draw(st.integers(1, 4))):
        end = data.draw(st.sampled_from([8, header_size, len(content)]))
        content[data.draw(st.integers(0, end - 1))] = data.draw(st.integers(0, 255))
    assert_refused_or_unchanged(bytes(content), CONTENTS[index])


@settings(max_examples=200)
@given(which, st.data())
def test_cut_inserted_and_doubled_ranges(index: int, data: st.DataObject) -> None:
    content = CONTENTS[index]
    start = data.draw(st.integers(0, len(content)))
    stop = data.draw(st.integers(start, len(content)))
    middle = data.draw(st.sampled_from([b"", content[start:stop] * 2, b"\0", b"{}", b'"', b"\xff" * 9]))
    assert_refused_or_unchanged(content[:start] + middle + content[stop:], content)


@settings(max_examples=200)
@given(st.binary(max_size=300))
def test_arbitrary_bytes(content: bytes) -> None:
    try:
        read_bytes(content)
    except ProgramError:
        return
    raise AssertionError("arbitrary bytes were read as a file")


scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(-3, 40)
    | st.floats()
    | st.sampled_from(["", "x", "image", "f32", "sign", "ones", 0.7, 1 << 24, 1 << 31, 1 << 63, 1e39])
)
json_values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=12,
)


def places(content: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Paths of all nodes of a JSON value."""
    found = [path] if path else []
    if isinstance(content, dict):
        for key in content:
            found += places(content[key], (*path, key))
    elif isinstance(content, list):
        for i, item in enumerate(content):
            found += places(item, (*path, i))
    return found


def changed(content: Any, path: tuple[Any, ...], new: Any) -> Any:
    content = copy.deepcopy(content)
    node = content
    for key in path[:-1]:
        node = node[key]
    node[path[-1]] = new
    return content


@settings(max_examples=500)
@given(which, st.data())
def test_programs_with_any_node_replaced(index: int, data: st.DataObject) -> None:
    """Past the checksum: a Program in which some node is anything else is refused, or runs without trouble."""
    original = json.loads(json.dumps(program_to_json(FILES[index].program)))
    path = data.draw(st.sampled_from(places(original)))
    same_kind = [p for p in places(original) if len(p) == len(path) and p != path]
    node = data.draw(json_values)
    if same_kind and data.draw(st.booleans()):
        node = original
        for key in data.draw(st.sampled_from(same_kind)):
            node = node[key]
    metadata, tensors = parts(CONTENTS[index])
    try:
        metadata["program"] = json.dumps(changed(original, path, node))
        file = read_bytes(sealed(metadata, tensors))
    except (ProgramError, UnicodeEncodeError):  # half surrogates cannot be written
        return
    assert_runs(file)


@settings(max_examples=300)
@given(st.sampled_from(["program", "preprocessing", "labels", "provenance", "colors", "task"]), json_values)
def test_metadata_of_any_json(key: str, content: Any) -> None:
    metadata, tensors = parts(CONTENTS[0])
    refusal = "none"
    try:
        metadata[key] = json.dumps(content)
        read_bytes(sealed(metadata, tensors))
    except ProgramError as error:
        refusal = str(error)
    except UnicodeEncodeError:  # half surrogates cannot be written
        pass
    assert len(refusal.splitlines()) == 1


@settings(max_examples=300)
@given(which, st.data())
def test_tensors_with_any_content(index: int, data: st.DataObject) -> None:
    """Past the checksum: any tensor of any type, shape and content is refused, or runs without trouble."""
    file = replace(FILES[index], tensors=dict(FILES[index].tensors))
    name = data.draw(st.sampled_from(sorted(file.tensors)))
    tensor = file.tensors[name]
    dtype = data.draw(st.sampled_from([tensor.dtype, tensor.dtype, np.dtype("f4"), np.dtype("i1"), np.dtype("f8")]))
    size = max(1, tensor.nbytes)
    content = data.draw(st.binary(min_size=size, max_size=size))
    flat = np.frombuffer(content, np.uint8)[: size // dtype.itemsize * dtype.itemsize].view(dtype)
    shape = data.draw(st.sampled_from([tensor.shape, (-1,), (1, -1), tensor.shape[:1]]))
    try:
        file.tensors[name] = flat.reshape(shape)
    except ValueError:
        file.tensors[name] = flat
    try:
        validate_file(file)
    except ProgramError:
        return
    assert_runs(file)
