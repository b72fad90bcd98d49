"""Puts another build of the engine in the place of `bitvit._core`, as a pytest plugin (`make sanitize`).

The environment variable BITVIT_CORE_FOR_TESTS names the extension module; without it nothing happens. It has to be
imported before bitvit.
"""

from __future__ import annotations

import importlib.util
import os
import sys

PATH = os.environ.get("BITVIT_CORE_FOR_TESTS")

if PATH:
    assert "bitvit._core" not in sys.modules
    specification = importlib.util.spec_from_file_location("bitvit._core", PATH)
    assert specification is not None and specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    sys.modules["bitvit._core"] = module
    specification.loader.exec_module(module)
