"""The lists of kernels and instruction sets, the files that belong to them, and what a new instruction set takes."""

from __future__ import annotations

import json
import platform
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from bitvit import _core
from bitvit.runtime.errors import IsaError

ROOT = Path(__file__).parents[2]
KERNELS = ROOT / "cpp/kernels"
INSTRUCTION_SETS = ROOT / "cpp/base/instruction_sets.inc"


def _entries(text: str, macro: str) -> list[list[str]]:
    lines = re.findall(rf"^{macro}\((.*)\)$", text, re.MULTILINE)
    return [[field.strip() for field in line.split(",")] for line in lines]


ISAS = {entry[0]: entry[2] for entry in _entries(INSTRUCTION_SETS.read_text(), "BITVIT_INSTRUCTION_SET")}
FAMILIES = [entry[0] for entry in _entries((KERNELS / "kernels.inc").read_text(), "BITVIT_KERNELS")]


def test_lists() -> None:
    assert {"portable", "avx2", "avx512"} <= set(ISAS)
    assert ISAS["portable"] == "any"
    assert {"rows", "attention_masks"} <= set(FAMILIES)
    assert sorted(FAMILIES) == sorted(path.name for path in KERNELS.iterdir() if path.is_dir())


@pytest.mark.parametrize("name", ISAS)
def test_the_engine_knows_each_instruction_set(name: str) -> None:
    builder = _core.ProgramBuilder()
    ids = [builder.value("f32", [1, 1]), builder.value("f32", [1, 1])]
    builder.op("gelu", ids[:1], ids[1:], {}, {})
    if name in _core.available_isas():
        assert builder.build(ids[:1], ids[1:], isa=name).isa == name
    else:
        with pytest.raises(IsaError, match=name):
            builder.build(ids[:1], ids[1:], isa=name)


@pytest.mark.parametrize("family", FAMILIES)
def test_files_of_a_family(family: str) -> None:
    folder = KERNELS / family
    assert (folder / f"{family}.h").is_file() and (folder / f"{family}.cc").is_file()
    allowed = {f"{family}.cc", "bytes128.cc"} | {f"{architecture}_{isa}.cc" for isa, architecture in ISAS.items()}
    sources = {path.name for path in folder.glob("*.cc")}
    assert sources <= allowed, "a file that no entry of the lists would compile"
    # A file per instruction set is there for what is written by hand, not to include what is common.
    assert [path.name for path in folder.glob("*.cc") if len(path.read_text().splitlines()) < 10] == []


def test_a_new_instruction_set_is_a_line_its_detection_and_the_files_that_pay(tmp_path: Path) -> None:
    options = {"x86_64": ("x86", "-msse4.2;-mpopcnt"), "aarch64": ("arm", "-march=armv8.2-a+dotprod")}
    if platform.machine() not in options or shutil.which("cmake") is None:
        pytest.skip("needs CMake on x86-64 or AArch64")
    architecture, flags = options[platform.machine()]
    shutil.copytree(ROOT / "cpp", tmp_path / "cpp")
    shutil.copy(ROOT / "CMakeLists.txt", tmp_path)

    # 1. Its line in the list, with its options.
    with (tmp_path / "cpp/base/instruction_sets.inc").open("a") as file:
        file.write(f'BITVIT_INSTRUCTION_SET(example, kExample, {architecture}, "{flags}")\n')
    # 2. Its detection.
    detection = tmp_path / "cpp/base/isa.cc"
    found = "std::vector<Isa> isas = {Isa::kPortable}"
    assert found in detection.read_text()
    detection.write_text(
        detection.read_text().replace(found, "std::vector<Isa> isas = {Isa::kPortable, Isa::kExample}")
    )
    # 3. A kernel that is written by hand.
    by_hand = tmp_path / f"cpp/kernels/popcount_peak/{architecture}_example.cc"
    shutil.copy(KERNELS / "popcount_peak/popcount_peak.cc", by_hand)

    command = ["cmake", "-S", str(tmp_path), "-B", str(tmp_path / "build"), f"-DPython_EXECUTABLE={sys.executable}"]
    configured = subprocess.run(command, capture_output=True, text=True)
    assert configured.returncode == 0, configured.stderr
    commands = json.loads((tmp_path / "build/compile_commands.json").read_text())
    mine = [entry for entry in commands if "-DBITVIT_ISA=example" in entry["command"]]
    sources = {Path(entry["file"]).relative_to(tmp_path / "cpp/kernels").as_posix() for entry in mine}
    others = {f"{family}/{family}.cc" for family in FAMILIES if family != "popcount_peak"}
    assert sources == {"kernels_of_isa.cc", by_hand.relative_to(tmp_path / "cpp/kernels").as_posix()} | others
    assert all(option in entry["command"] for option in flags.split(";") for entry in mine)

    # What names the instruction set compiles.
    once = [entry for entry in commands if entry["file"].endswith(("base/isa.cc", "kernels/kernels.cc"))]
    few = [entry for entry in mine if entry["file"].endswith(("kernels_of_isa.cc", by_hand.name))]
    assert len(once) == len(few) == 2
    for entry in once + few:
        check = [*shlex.split(entry["command"]), "-fsyntax-only"]
        compiled = subprocess.run(check, cwd=entry["directory"], capture_output=True, text=True)
        assert compiled.returncode == 0, compiled.stderr
