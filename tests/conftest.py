"""What holds for all tests."""

from __future__ import annotations

import signal

import hypothesis

# A shell starts background jobs with Ctrl-C ignored, and children inherit that; tests of Ctrl-C need it heard.
signal.signal(signal.SIGINT, signal.default_int_handler)

# No test depends on wall-clock time: a busy machine would fail it. A failing example is printed, to be repeated.
hypothesis.settings.register_profile("bitvit", deadline=None, print_blob=True)
hypothesis.settings.load_profile("bitvit")
