"""Files written by earlier versions keep their content and their meaning, from the first released version on."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from bitvit.program import Interpreter, OlderFormatError, read_file, to_bytes
from tests.support.tiny_file import tiny_file

FILES = Path(__file__).parent / "files"


@pytest.mark.parametrize("name", ["version_2"])
def test_old_file_is_read_as_what_was_written(name: str) -> None:
    file, expected = read_file(FILES / f"{name}.bitvit"), tiny_file()
    assert file.program == expected.program
    assert (file.labels, file.provenance) == (expected.labels, expected.provenance)
    assert (file.task, file.colors) == (expected.task, expected.colors)
    assert file.preprocessing == expected.preprocessing
    assert file.tensors.keys() == expected.tensors.keys()
    for key, tensor in expected.tensors.items():
        np.testing.assert_array_equal(file.tensors[key], tensor, err_msg=key)
    image = np.random.default_rng(1).integers(0, 256, (1, 4, 4, 3), np.uint8)
    np.testing.assert_array_equal(
        Interpreter(file.program, file.tensors).run(image), Interpreter(expected.program, expected.tensors).run(image)
    )


def test_a_file_written_now_is_that_of_its_version() -> None:
    assert to_bytes(tiny_file()) == (FILES / "version_2.bitvit").read_bytes()


def test_files_from_before_the_first_release_are_refused() -> None:
    with pytest.raises(OlderFormatError, match="export"):
        read_file(FILES / "version_1.bitvit")
