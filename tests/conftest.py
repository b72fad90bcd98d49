"""What holds for all tests."""

from __future__ import annotations

import os
import signal

import hypothesis

# A shell starts background jobs with Ctrl-C ignored, and children inherit that; tests of Ctrl-C need it heard.
signal.signal(signal.SIGINT, signal.default_int_handler)

# No test depends on wall-clock time: a busy machine would fail it. The examples are the same in every run, so that a
# change is what fails, not chance; `HYPOTHESIS_PROFILE=explore make test` draws new ones and prints how to repeat them.
hypothesis.settings.register_profile("repeatable", deadline=None, derandomize=True)
hypothesis.settings.register_profile("explore", deadline=None, print_blob=True)
hypothesis.settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "repeatable"))
