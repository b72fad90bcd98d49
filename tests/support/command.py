"""The command line as a function, and a recipe that takes seconds."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

# Model, data and schedules so small that a whole run takes seconds.
TINY_RECIPE = """
name: tiny
batch_size: 16
data: {name: digits, samples_per_class: 8}
model: {name: test_gsb_deit, init: teacher}
teacher: {model: deit_test_distilled_patch4_16, epochs: 1}
stage1: {epochs: 1}
stage2: {epochs: 1}
calibration: {images: 16}
runtime: {tensorboard: false, accelerator: cpu}
"""


@dataclass(frozen=True)
class Result:
    """What a command printed, and its exit code."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """Standard output as the one JSON document that it has to be."""
        return json.loads(self.out)

    def assert_one_error_line(self, *parts: str) -> None:
        """Exit code 2, nothing on standard output, one line `error: ...` that names all parts."""
        assert (self.code, self.out) == (2, "")
        assert self.err.startswith("error: ")
        assert self.err.count("\n") == 1
        for part in parts:
            assert part in self.err


Command = Callable[..., Result]
