"""What the compiled module shows to others, and takes from the C++ library."""

from __future__ import annotations

import subprocess
import sys

import pytest

from bitvit import _core

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads the symbols of an ELF file")


def symbols(*options: str) -> list[str]:
    """Names of the module's dynamic symbols."""
    listed = subprocess.run(["nm", "-D", *options, str(_core.__file__)], check=True, capture_output=True, text=True)
    return [line.split()[-1] for line in listed.stdout.splitlines()]


def test_only_the_entry_is_exported() -> None:
    """Where a linker puts the C++ library into the module, exported symbols of it are merged with another copy's."""
    assert symbols("--defined-only") == ["PyInit__core"]


def test_no_streams_are_used() -> None:
    """A module with a C++ library of its own crashed in the first stream that it opened, beside another copy."""
    taken = symbols("--undefined-only")
    assert len(taken) > 20
    assert [name for name in taken if any(part in name for part in ("St6locale", "stream", "ios_base"))] == []
