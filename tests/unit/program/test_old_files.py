"""Files written by earlier versions keep their content and their meaning."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from bitvit.program import Interpreter, read_bytes, read_file, to_bytes
from tests.support.tiny_file import tiny_file

FILES = Path(__file__).parent / "files"


# version_1: the first form of version 1, in which operators without attributes or parameters have empty objects.
@pytest.mark.parametrize("name", ["version_1"])
def test_old_file_is_read_as_what_was_written(name: str) -> None:
    file, expected = read_file(FILES / f"{name}.bitvit"), tiny_file()
    assert file.program == expected.program
    assert (file.labels, file.provenance) == (expected.labels, expected.provenance)
    assert file.preprocessing == expected.preprocessing
    assert file.tensors.keys() == expected.tensors.keys()
    for key, tensor in expected.tensors.items():
        np.testing.assert_array_equal(file.tensors[key], tensor, err_msg=key)
    image = np.random.default_rng(1).integers(0, 256, (1, 4, 4, 3), np.uint8)
    np.testing.assert_array_equal(
        Interpreter(file.program, file.tensors).run(image), Interpreter(expected.program, expected.tensors).run(image)
    )


def test_a_file_written_now_is_the_old_one_without_the_empty_objects() -> None:
    old, now = (FILES / "version_1.bitvit").read_bytes(), to_bytes(tiny_file())
    assert len(now) < len(old)
    assert read_bytes(now).program == read_bytes(old).program
