"""The engine without exceptions and run-time type information, as WebAssembly and small systems need it."""

from __future__ import annotations

import re

import numpy as np

from bitvit.program import read_file
from bitvit.runtime import Engine
from tests.support.native_builds import ROOT, built, fnv1a, require, run

FILE = ROOT / "tests/unit/program/files/version_2.bitvit"


# Kernels are always compiled without exceptions (CMakeLists.txt), so those of one instruction set are enough here.
OPTIONS = (
    *(f"-DBITVIT_{option}" for option in ("EXCEPTIONS=OFF", "PORTABLE_ONLY=ON", "TESTS=ON", "WERROR=ON")),
    *("-DCMAKE_BUILD_TYPE=Debug", "-DCMAKE_CXX_FLAGS_DEBUG=-O0"),  # fast to compile
)


def test_threads_workspaces_and_forks() -> None:
    build = built("no_exceptions", *OPTIONS, target="threads_test")
    assert run([build / "threads_test"]).strip() == "ok"


def test_base_ops_program_and_engine_build_link_and_run_without_exceptions() -> None:
    build = built("no_exceptions", *OPTIONS, target="reader_test")
    file = read_file(FILE)
    shape = file.program.values[file.program.input].shape
    image = (31 * np.arange(int(np.prod(shape))) % 256).astype(np.uint8).reshape(1, *shape)
    output = Engine(file.program, file.tensors, threads=1).run(image)
    assert run([build / "reader_test", FILE]).split() == ["ok", fnv1a(output.tobytes())]

    require("nm")
    symbols = run(["nm", "--undefined-only", build / "libbitvit_engine.a"])
    assert "bitvit" in symbols
    assert not re.findall(r"__cxa_(?:throw|rethrow|begin_catch|allocate_exception)\b|_ZTI\w*", symbols)
