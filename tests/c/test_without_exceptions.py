"""The engine without exceptions and run-time type information, as WebAssembly and small systems need it."""

from __future__ import annotations

import re

import numpy as np

from bitvit.program import read_file
from bitvit.runtime import Engine
from tests.support.native_builds import ROOT, built, fnv1a, require, run

FILE = ROOT / "tests/unit/program/files/version_2.bitvit"


def test_base_ops_program_and_engine_build_link_and_run_without_exceptions() -> None:
    # Kernels are always compiled without exceptions (CMakeLists.txt), so those of one instruction set are enough here.
    options = ("EXCEPTIONS=OFF", "PORTABLE_ONLY=ON", "TESTS=ON", "WERROR=ON")
    fast = ("-DCMAKE_BUILD_TYPE=Debug", "-DCMAKE_CXX_FLAGS_DEBUG=-O0")  # to compile
    build = built("no_exceptions", *(f"-DBITVIT_{option}" for option in options), *fast, target="reader_test")
    file = read_file(FILE)
    shape = file.program.values[file.program.input].shape
    image = (31 * np.arange(int(np.prod(shape))) % 256).astype(np.uint8).reshape(1, *shape)
    output = Engine(file.program, file.tensors, threads=1).run(image)
    assert run([build / "reader_test", FILE]).split() == ["ok", fnv1a(output.tobytes())]

    require("nm")
    symbols = run(["nm", "--undefined-only", build / "libbitvit_engine.a"])
    assert "bitvit" in symbols
    assert not re.findall(r"__cxa_(?:throw|rethrow|begin_catch|allocate_exception)\b|_ZTI\w*", symbols)
