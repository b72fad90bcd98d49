"""Channels several times."""

from __future__ import annotations

import numpy as np

from bitvit.program.call import Call
from bitvit.program.schema import AnyArray


def run_repeat_channels(call: Call) -> tuple[AnyArray]:
    """Return the channels of each row `times` times, one after the other."""
    return (np.tile(call.inputs[0], (1, call.attrs["times"])),)
