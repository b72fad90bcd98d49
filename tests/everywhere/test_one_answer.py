"""One answer everywhere: AArch64 and Windows under emulators, WebAssembly in Node, and Python give the same bits.

Run by ``make test-everywhere``, which installs what is needed; a test whose tools are missing is skipped and says so.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import bitvit
from bitvit.export import export_model
from bitvit.models import create_model, list_models
from bitvit.runtime import available_isas
from tests.support.native_builds import ROOT, built, fnv1a, installed, require, run, wine, zig

pytestmark = pytest.mark.everywhere

HERE = Path(__file__).parent
OPERATORS = ["tests/parity/test_engine_operators.py", "tests/parity/test_kernel_edges.py"]
PARITY = [*OPERATORS, *(
    f"tests/parity/test_{name}.py"
    for name in ("engine_programs", "engine_chains", "engine_row_groups", "packed_models", "registered_models",
                 "segmentation_models", "own_model")
)]  # fmt: skip
QEMU = "qemu-aarch64 -L /usr/aarch64-linux-gnu -cpu"


def require_wasm() -> None:
    require("node", "npm")
    if not any(shutil.which(f"clang++{suffix}") for suffix in ("-14", "-15", "-16", "-17", "-18", "-19", "")):
        pytest.skip("needs clang for WebAssembly, which this machine does not have")


def aarch64() -> Path:
    require("aarch64-linux-gnu-g++", "qemu-aarch64")
    toolchain = f"-DCMAKE_TOOLCHAIN_FILE={ROOT / 'cpp/aarch64-linux-gnu.cmake'}"
    return built("aarch64", toolchain, "-DBITVIT_C=ON", "-DBITVIT_TESTS=ON", "-DBITVIT_WERROR=ON")


def web() -> Path:
    require_wasm()
    run([sys.executable, ROOT / "web/build.py", "--out", ROOT / "build/tests/web"])
    return ROOT / "build/tests/web"


def windows() -> Path:
    zig_target = ["-DBITVIT_ZIG_TARGET=x86_64-windows-gnu", f"-DBITVIT_ZIG={zig()}"]
    toolchain = f"-DCMAKE_TOOLCHAIN_FILE={ROOT / 'cpp/zig.cmake'}"
    wine()
    return built("windows", toolchain, *zig_target, "-DBITVIT_C=ON", "-DBITVIT_TESTS=ON", "-DBITVIT_WERROR=ON")


SERVERS: dict[str, Callable[[], str]] = {
    "cortex-a53": lambda: f"{QEMU} cortex-a53 {aarch64() / 'engine_server'}",
    "cortex-a76": lambda: f"{QEMU} cortex-a76 {aarch64() / 'engine_server'}",
    "wasm": lambda: f"node --no-warnings {HERE / 'run_wasi.mjs'} {web() / 'cmake/engine_server.wasm'}",
    "windows": lambda: f"{shlex.join(wine())} {windows() / 'engine_server.exe'}",
}
SETS = {
    "cortex-a53": "portable neon",
    "cortex-a76": "portable neon neon_dotprod",
    "wasm": "simd128",
    "windows": " ".join(available_isas()),
}
MACHINES = [pytest.param(name, marks=[pytest.mark.long] if name == "windows" else []) for name in SERVERS]


@pytest.mark.parametrize("machine", MACHINES)
def test_instruction_sets_found(machine: str) -> None:
    done = subprocess.run(
        shlex.split(SERVERS[machine]()), input=b"\4\0\0\0\0\0\0\0isas", capture_output=True, timeout=60
    )
    assert done.stdout[9:].decode().split() == SETS[machine].split(), done.stderr


def run_parity(machine: str, tests: list[str], least: int) -> None:
    """Run tests of the engine here against the engine there; at least so many must pass."""
    environment = {**os.environ, "BITVIT_TEST_ENGINE": SERVERS[machine](), "OMP_NUM_THREADS": "1"}
    environment.pop("BITVIT_ISA", None)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "tests.support.remote_engine", *tests]
    output = run(command, timeout_s=7200, env=environment, cwd=ROOT)
    passed = re.search(r"(\d+) passed", output)
    assert passed is not None and int(passed[1]) > least, output[-2000:]


@pytest.mark.parametrize("machine", ["cortex-a76", "wasm"])
def test_parity_of_the_operators(machine: str) -> None:
    run_parity(machine, OPERATORS, 350)


@pytest.mark.long
@pytest.mark.parametrize("machine", SERVERS)
def test_all_parity_tests_of_the_engine(machine: str) -> None:
    run_parity(machine, PARITY, 500)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Networks of each family and task, with random weights."""
    folder = tmp_path_factory.mktemp("files")
    paths = []
    segmentation = list_models("test_*", packable=True, task="segmentation")
    for number, name in enumerate(["test_gsb_deit", "test_bhvit", "test_binaryvit", segmentation[0]]):
        torch.manual_seed(number)
        paths.append(folder / f"{name}.bitvit")
        model = create_model(name)
        task = "segmentation" if name in segmentation else "classification"
        export_model(model, paths[-1], labels=[f"class {i}" for i in range(model.num_classes)], task=task)
    return paths


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Fifty pictures of all sizes, some grey."""
    folder = tmp_path_factory.mktemp("pictures")
    rng = np.random.default_rng(18)
    paths = []
    for number in range(50):
        height, width = (int(side) for side in rng.integers(1, 400, 2))
        coarse = Image.fromarray(rng.integers(0, 256, (7, 7, 3), dtype=np.uint8))
        image = coarse.resize((width, height), Image.Resampling.BICUBIC)
        is_grey = number % 10 == 9
        paths.append(folder / f"{number:02d}.{'pgm' if is_grey else 'ppm'}")
        (image.convert("L") if is_grey else image).save(paths[-1])
    return paths


def digests_of_python(file: Path, pictures: list[Path], isa: str) -> list[str]:
    model = bitvit.load(file, threads=1, isa=isa)
    answers = [model.predict(picture) for picture in pictures]
    if model.info.task == "segmentation":
        return [fnv1a(answer.label_map.tobytes()) for answer in answers]
    return [fnv1a(answer.logits.tobytes()) for answer in answers]


def test_python_gives_one_answer(files: list[Path], pictures: list[Path]) -> None:
    for file in files:
        found = {tuple(digests_of_python(file, pictures, isa)) for isa in available_isas()}
        assert len(found) == 1
        assert len(set(next(iter(found)))) > 10  # pictures differ


def c_example(folder: Path) -> Path:
    """`examples/c` for AArch64, with the library inside."""
    prefix = installed(aarch64(), folder / "prefix")
    library = next(iter(prefix.glob("lib*/libbitvit.a")))
    program = folder / "classify"
    run(["aarch64-linux-gnu-gcc", "-std=c99", "-O1", f"-I{prefix / 'include'}", ROOT / "examples/c/classify.c", library,
         "-lstdc++", "-lm", "-pthread", "-o", program])  # fmt: skip
    return program


@pytest.mark.parametrize("cpu", ["cortex-a53", "cortex-a76"])
def test_the_c_example_on_aarch64(cpu: str, files: list[Path], pictures: list[Path], tmp_path: Path) -> None:
    program = c_example(tmp_path)
    for file in files:
        output = run([*f"{QEMU} {cpu}".split(), program, "--digest", file, *pictures])
        assert [line.split()[0] for line in output.splitlines()] == digests_of_python(file, pictures, "portable")


def c_example_for_windows(folder: Path) -> Path:
    """`examples/c` for Windows, beside the library's DLL."""
    prefix = installed(windows(), folder / "prefix")
    (library,) = (prefix / "lib").glob("libbitvit.dll.a")
    program = prefix / "bin/classify.exe"
    run([zig(), "cc", "-target", "x86_64-windows-gnu", "-std=c99", "-O1", "-DBITVIT_SHARED", f"-I{prefix / 'include'}",
         ROOT / "examples/c/classify.c", library, "-o", program])  # fmt: skip
    return program


@pytest.mark.long
def test_the_c_example_on_windows(files: list[Path], pictures: list[Path], tmp_path: Path) -> None:
    program = c_example_for_windows(tmp_path)
    for file in files:
        output = run([*wine(), program, "--digest", file, *pictures])
        assert [line.split()[0] for line in output.splitlines()] == digests_of_python(file, pictures, "portable")
    renamed = files[0].with_name("Blätter.bitvit")
    shutil.copy(files[0], renamed)
    assert run([*wine(), program, renamed, pictures[0]])
    for name in ("missing.bitvit", "CON"):
        with pytest.raises(AssertionError, match="is not a regular file"):
            run([*wine(), program, name, pictures[0]])


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return installed_package(tmp_path_factory.mktemp("npm"))


def installed_package(folder: Path) -> Path:
    """Pack the npm package and install it in an empty folder, which is returned."""
    built_package = web() / "package"
    folder.mkdir(exist_ok=True)
    archive = run(["npm", "pack", "--silent", "--pack-destination", folder, built_package]).split()[-1]
    (folder / "package.json").write_text('{"private": true, "type": "module"}')
    run(["npm", "install", "--offline", "--no-audit", "--no-fund", f"./{archive}"], cwd=folder)
    return folder


def test_the_npm_package_in_node(package: Path, files: list[Path], pictures: list[Path]) -> None:
    shutil.copy(HERE / "digests.mjs", package)
    for file in files:
        output = run(["node", "digests.mjs", file, *pictures], cwd=package)
        assert output.split() == digests_of_python(file, pictures, "portable")


def test_errors_of_the_npm_package(package: Path, files: list[Path], tmp_path: Path) -> None:
    damaged = bytearray(files[0].read_bytes())
    damaged[-1] ^= 1
    (tmp_path / "damaged.bitvit").write_bytes(damaged)
    (package / "errors.mjs").write_text(
        """
import { load, BitvitError } from "bitvit";
const [file, damaged] = process.argv.slice(2);
const codes = [];
const note = (error) => codes.push(error instanceof BitvitError ? error.code : error.constructor.name);
await load(damaged).catch(note);
await load(new Uint8Array(3)).catch(note);
const model = await load(file);
for (const wrong of [
  () => model.logits(new Uint8Array(5)),
  () => model.predict({ data: new Uint8Array(7), width: 2, height: 2 }),
  () => model.predict({ data: new Uint8Array(12), width: 2, height: 2, orientation: 11 }),
  () => model.classes(model.prepare({ data: new Uint8Array(12), width: 2, height: 2 })),
  () => { model.free(); model.logits(new Uint8Array(5)); },
]) {
  try { wrong(); } catch (error) { note(error); }
}
console.log(codes.join(" "));
"""
    )
    codes = run(["node", "errors.mjs", files[0], tmp_path / "damaged.bitvit"], cwd=package).split()
    assert codes == ["ChecksumError", "TruncatedFileError", "InputError", "InputError", "InputError", "OperandError",
                     "InputError"]  # fmt: skip


def test_the_program_of_the_page(package: Path) -> None:
    """The block of docs/web.md, in Node, with the network that comes with bitvit."""
    (block,) = re.findall(r"```js\n(.*?)```", (ROOT / "docs/web.md").read_text(encoding="utf-8"), re.DOTALL)
    shutil.copy(ROOT / "src/bitvit/trained/digits.bitvit", package / "photos.bitvit")
    picture = (np.arange(3 * 20 * 24) % 251).astype(np.uint8).reshape(20, 24, 3)
    data = f"{{ data: new Uint8Array([{','.join(map(str, picture.ravel()))}]), width: 24, height: 20 }}"
    program = f"globalThis.imageData = {data};\nconst {{ run }} = await import('./block.mjs');\nrun();\n"
    (package / "block.mjs").write_text(f"{block}\nexport const run = () => console.log(label, probability);\n")
    (package / "page.mjs").write_text(program)
    label, probability = run(["node", "page.mjs"], cwd=package).split()
    expected = bitvit.load(package / "photos.bitvit").predict(picture)
    assert label == expected.label
    assert float(probability) == pytest.approx(expected.probability, abs=1e-6)
