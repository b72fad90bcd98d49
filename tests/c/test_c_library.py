"""`bitvit.h`: built, installed and used by programs outside of the repository; the same answers as Python's."""

from __future__ import annotations

import ctypes
import os
import re
import resource
import shutil
import subprocess
import threading
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

import bitvit
from bitvit import _core
from bitvit.program import to_bytes
from bitvit.program.schema import BitvitFile, Op, Preprocessing, Program, Value
from bitvit.runtime.orientation import turned
from tests.support.native_builds import ROOT, c_library, fnv1a, installed, require, run
from tests.support.page_blocks import blocks_of
from tests.support.tiny_file import tiny_file

HEADER = (ROOT / "cpp/c/bitvit.h").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def prefix(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return installed(c_library(), tmp_path_factory.mktemp("prefix"))


@pytest.fixture(scope="module")
def classify(prefix: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The example, built outside of the repository against what is installed."""
    source = tmp_path_factory.mktemp("example")
    for name in ("CMakeLists.txt", "classify.c"):
        shutil.copy(ROOT / "examples/c" / name, source)
    run(["cmake", "-S", source, "-B", source / "build", f"-DCMAKE_PREFIX_PATH={prefix}"])
    run(["cmake", "--build", source / "build"])
    return source / "build/classify"


@pytest.fixture(scope="module")
def library(prefix: Path) -> Any:
    """The shared library, called directly."""
    found = ctypes.CDLL(str(next(iter(prefix.glob("lib*/libbitvit.so")))))
    for name in ("bitvit_code_name", "bitvit_version", "bitvit_label", "bitvit_metadata", "bitvit_isa"):
        getattr(found, name).restype = ctypes.c_char_p
    for name in ("bitvit_class_count", "bitvit_threads"):
        getattr(found, name).restype = ctypes.c_size_t
    return found


class ErrorText(ctypes.Structure):
    _fields_ = (("code", ctypes.c_int), ("message", ctypes.c_char * 500))


class Photo(ctypes.Structure):
    _fields_ = (
        ("pixels", ctypes.c_void_p),
        ("width", ctypes.c_size_t),
        ("height", ctypes.c_size_t),
        ("channels", ctypes.c_size_t),
        ("row_bytes", ctypes.c_size_t),
        ("orientation", ctypes.c_int),
    )


class Options(ctypes.Structure):
    _fields_ = (("threads", ctypes.c_size_t), ("isa", ctypes.c_char_p))


def photo_of(pixels: npt.NDArray[np.uint8], orientation: int = 0) -> Photo:
    height, width, channels = pixels.shape
    return Photo(pixels.ctypes.data, width, height, channels, pixels.strides[0], orientation)


def load(library: Any, data: bytes, threads: int = 1, isa: bytes | None = None) -> ctypes.c_void_p:
    model, error = ctypes.c_void_p(), ErrorText()
    options = Options(threads, isa)
    code = library.bitvit_load_memory(
        data, ctypes.c_size_t(len(data)), ctypes.byref(options), ctypes.byref(model), ctypes.byref(error)
    )
    assert code == 0, error.message
    return model


def logits(library: Any, model: ctypes.c_void_p, photo: Photo, classes: int) -> npt.NDArray[np.float32]:
    found, error = np.zeros(classes, np.float32), ErrorText()
    code = library.bitvit_logits(model, ctypes.byref(photo), ctypes.c_void_p(found.ctypes.data), ctypes.byref(error))
    assert code == 0, error.message
    return found


def noise(*shape: int, seed: int = 0) -> npt.NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def segmentation_file() -> BitvitFile:
    """Classes of the cells of a 2 x 3 grid: u8 [8, 12, 3] -> i32 [6]."""
    program = Program(
        {"image": Value("u8", (8, 12, 3)), "scores": Value("f32", (6, 4)), "classes": Value("i32", (6,))},
        [
            Op("patch_conv_u8", ("image",), ("scores",), {"patch": 4}, {"weight": "w", "scale": "s", "bias": "b"}),
            Op("argmax_channels", ("scores",), ("classes",), {}, {}),
        ],
        "image",
        "classes",
    )
    tensors = {
        "w": np.tile(np.int8([[90, -90, 0], [-90, 90, 0], [0, -90, 90], [10, 0, 0]])[:, None, None], (1, 4, 4, 1)),
        "s": np.full((4, 3), 1e-3, np.float32),
        "b": np.zeros(4, np.float32),
    }
    preprocessing = Preprocessing((8, 12), 12, "bilinear", fit="stretch")
    return BitvitFile(program, tensors, preprocessing, ["a", "b", "c", "d"], {}, "segmentation")


def test_the_header_names_the_errors_of_the_core(library: Any) -> None:
    names = re.findall(r"^  (BITVIT_ERROR_\w+)", HEADER, re.MULTILINE)
    for number, name in enumerate(names, start=1):
        words = name.removeprefix("BITVIT_ERROR_").lower().split("_")
        assert library.bitvit_code_name(number).decode() == "".join(map(str.capitalize, words)) + "Error"
    assert library.bitvit_code_name(0) == b"OK"
    assert library.bitvit_code_name(len(names) + 1) == b"?"
    written = f'fallback_version = "{library.bitvit_version().decode()}.dev0"\n'
    assert written in (ROOT / "pyproject.toml").read_text(encoding="utf-8")


def test_only_the_c_face_is_exported(prefix: Path) -> None:
    require("nm")
    symbols = run(["nm", "-D", "--defined-only", next(iter(prefix.glob("lib*/libbitvit.so")))]).splitlines()
    declared = set(re.findall(r"BITVIT_API [^;(]*?(bitvit_\w+)\(", HEADER))
    assert {line.split()[-1] for line in symbols} == declared


def test_programs_that_use_it_build_with_pkg_config(prefix: Path, tmp_path: Path) -> None:
    require("pkg-config", "cc")
    folder = next(iter(prefix.glob("lib*/pkgconfig")))
    flags = run(["pkg-config", "--cflags", "--libs", "bitvit"], env={**os.environ, "PKG_CONFIG_PATH": str(folder)})
    strict = ["-std=c99", "-Wall", "-Wextra", "-Wpedantic", "-Werror"]
    example = ROOT / "examples/c/classify.c"
    run(["cc", *strict, example, "-o", tmp_path / "classify", *flags.split(), f"-Wl,-rpath,{folder.parent}"])
    (tmp_path / "tiny.bitvit").write_bytes(to_bytes(tiny_file()))
    Image.fromarray(noise(9, 8, 3)).save(tmp_path / "a.ppm")
    assert "cat" in run([tmp_path / "classify", tmp_path / "tiny.bitvit", tmp_path / "a.ppm"])


def test_program_of_the_page(prefix: Path, tmp_path: Path) -> None:
    """docs/c.md: its program, compiled and linked by its command, with the path of a file that is there."""
    require("pkg-config", "cc")
    blocks = {block.language: block for block in blocks_of(ROOT / "docs" / "c.md") if block.language != "bash"}
    (command,) = (
        line for block in blocks_of(ROOT / "docs" / "c.md") for line in block.commands() if line.startswith("cc ")
    )
    (tmp_path / "photos.bitvit").write_bytes(to_bytes(tiny_file()))
    (tmp_path / "program.c").write_text(blocks["c"].text, encoding="utf-8")
    libraries = next(iter(prefix.glob("lib*/libbitvit.so"))).parent
    environment = {**os.environ, "PKG_CONFIG_PATH": str(libraries / "pkgconfig"), "LD_LIBRARY_PATH": str(libraries)}
    run(["sh", "-c", command], cwd=tmp_path, env=environment)
    printed = run(["./a.out"], cwd=tmp_path, env=environment)
    answer = bitvit.load(tmp_path / "photos.bitvit").predict(np.zeros((480, 640, 3), np.uint8))
    assert printed == f"{answer.label} {answer.top[0][1]:.2f}\n"
    # The two lines for CMake are those of the example, which is built above.
    lines = [line.split("#")[0].strip() for line in blocks["cmake"].text.splitlines()]
    example = (ROOT / "examples/c/CMakeLists.txt").read_text(encoding="utf-8")
    assert all(line.replace("program", "classify") in example for line in lines)


def test_the_header_is_c_plus_plus_as_well(tmp_path: Path) -> None:
    require("c++")
    (tmp_path / "a.cc").write_text('#include "bitvit.h"\nint main() { return bitvit_version()[0] == 0; }\n')
    run(["c++", "-Wall", "-Wextra", "-Werror", "-fsyntax-only", f"-I{ROOT / 'cpp/c'}", tmp_path / "a.cc"])


@pytest.mark.parametrize("name", ["classify", "classify_static"])
def test_the_example_gives_pythons_answers(name: str, classify: Path, tmp_path: Path) -> None:
    program = classify.with_name(name)
    path = tmp_path / "tiny.bitvit"
    path.write_bytes(to_bytes(tiny_file()))
    model = bitvit.load(path)
    pictures = []
    for seed, shape in enumerate([(9, 8, 3), (5, 40, 3), (300, 200, 3), (31, 17), (1, 1, 3)]):
        pictures.append(tmp_path / f"{seed}.{'ppm' if len(shape) == 3 else 'pgm'}")
        Image.fromarray(noise(*shape, seed=seed)).save(pictures[-1])
    expected = [model.predict(picture) for picture in pictures]
    for isa in _core.available_isas():
        lines = run([program, "--digest", path, *pictures], env={**os.environ, "BITVIT_ISA": isa}).splitlines()
        assert lines == [f"{fnv1a(e.logits.tobytes())}  {p}" for e, p in zip(expected, pictures, strict=True)]
    output = run([program, "--top", "2", path, *pictures]).splitlines()
    best = [line.split("%")[1].strip() for line in output[1::3]]
    assert best == [prediction.label for prediction in expected]


def test_label_maps_of_the_example(classify: Path, tmp_path: Path) -> None:
    path = tmp_path / "tiny.bitvit"
    path.write_bytes(to_bytes(segmentation_file()))
    picture = tmp_path / "a.ppm"
    Image.fromarray(noise(2, 3, 3)).resize((50, 21), Image.Resampling.NEAREST).save(picture)
    expected = bitvit.load(path).predict(picture)
    assert len(expected.shares) > 1
    assert run([classify, "--digest", path, picture]).split()[0] == fnv1a(expected.label_map.tobytes())
    output = run([classify, path, picture])
    for label, share in expected.shares.items():
        assert f"{100 * share:5.1f} %  {label}" in output


def test_photos_of_all_kinds(library: Any, tmp_path: Path) -> None:
    data = to_bytes(tiny_file())
    (tmp_path / "tiny.bitvit").write_bytes(data)
    python = bitvit.load(tmp_path / "tiny.bitvit")
    model = load(library, data)
    modes = {1: "L", 3: "RGB", 4: "RGBA"}
    for channels in (1, 3, 4):
        for orientation in range(9):
            wide = noise(7, 12, channels, seed=orientation)
            pixels = wide[:, :10]  # rows with a gap between them
            flat = np.ascontiguousarray(pixels)
            image = turned(Image.frombytes(modes[channels], (10, 7), flat.tobytes()), orientation)
            found = logits(library, model, photo_of(pixels, orientation), 3)
            np.testing.assert_array_equal(found, python.predict(image).logits)
    library.bitvit_free(model)


def test_what_a_model_says_of_itself(library: Any) -> None:
    file = tiny_file()
    model = load(library, to_bytes(file), threads=3, isa=b"portable")
    sizes = [ctypes.c_size_t() for _ in range(3)]
    library.bitvit_input_size(model, *map(ctypes.byref, sizes))
    assert [size.value for size in sizes] == [4, 4, 3]
    assert library.bitvit_class_count(model) == 3
    assert [library.bitvit_label(model, ctypes.c_size_t(i)) for i in range(4)] == [b"cat", b"dog", "Öl".encode(), None]
    assert library.bitvit_isa(model) == b"portable"
    assert library.bitvit_threads(model) == 3
    assert library.bitvit_model_task(model) == 0
    assert b"tiny" in library.bitvit_metadata(model, b"provenance")
    assert library.bitvit_metadata(model, b"no such key") is None
    library.bitvit_free(model)
    library.bitvit_free(None)


def test_colors(library: Any) -> None:
    file = segmentation_file()
    model = load(library, to_bytes(file))
    color = (ctypes.c_uint8 * 3)()
    library.bitvit_color(model, ctypes.c_size_t(3), color)
    assert tuple(color) == (128, 128, 0)  # of Pascal VOC's palette
    library.bitvit_free(model)
    file.colors = ((1, 2, 3), (4, 5, 6), (7, 8, 9), (10, 11, 12))
    model = load(library, to_bytes(file))
    library.bitvit_color(model, ctypes.c_size_t(3), color)
    assert tuple(color) == (10, 11, 12)
    width, height = ctypes.c_size_t(), ctypes.c_size_t()
    library.bitvit_grid_size(model, ctypes.byref(width), ctypes.byref(height))
    assert (width.value, height.value) == (3, 2)
    library.bitvit_free(model)


def code_of(library: Any, function: str, *arguments: Any) -> str:
    error = ErrorText()
    code = getattr(library, function)(*arguments, ctypes.byref(error))
    assert code == error.code
    assert code == 0 or (error.message and b"\n" not in error.message)
    return str(library.bitvit_code_name(code).decode())


def test_errors_come_as_codes(library: Any, tmp_path: Path) -> None:
    data = to_bytes(tiny_file())
    model = ctypes.c_void_p(1)
    out = ctypes.byref(model)

    def load_code(content: bytes, options: Any = None) -> str:
        code = code_of(library, "bitvit_load_memory", content, ctypes.c_size_t(len(content)), options, out)
        assert model.value is None
        return code

    assert load_code(data[:-1]) == "TruncatedFileError"
    assert load_code(data[:-1] + bytes([data[-1] ^ 1])) == "ChecksumError"
    assert load_code(b"") == "TruncatedFileError"
    assert load_code(data, ctypes.byref(Options(1, b"sse9"))) == "UnknownIsaError"
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)  # opening one usually waits for a writer
    for path in (tmp_path / "absent", tmp_path, pipe, Path("/dev/zero"), Path("/dev/null")):
        assert code_of(library, "bitvit_load_file", str(path).encode(), None, out) == "UnreadableFileError"
    assert code_of(library, "bitvit_load_file", None, None, out) == "InputError"
    assert library.bitvit_load_file(str(tmp_path).encode(), None, out, None) != 0  # `error` may be NULL

    model = load(library, data)
    pixels = noise(4, 4, 3)
    found = (ctypes.c_float * 3)()
    for change in ({"width": 0}, {"channels": 2}, {"orientation": 9}, {"row_bytes": 11}, {"pixels": None}):
        photo = photo_of(pixels)
        for name, value in change.items():
            setattr(photo, name, value)
        assert code_of(library, "bitvit_logits", model, ctypes.byref(photo), found) == "InputError", change
    photo = photo_of(pixels)
    assert code_of(library, "bitvit_logits", None, ctypes.byref(photo), found) == "InputError"
    assert code_of(library, "bitvit_label_map", model, ctypes.byref(photo), found) == "OperandError"
    library.bitvit_free(model)


def test_results_that_are_no_numbers(library: Any) -> None:
    file = tiny_file()
    for name in ("head.scale", "head.bias"):
        file.tensors[name] = np.full(3, 3e38, np.float32)
    model = load(library, to_bytes(file))
    photo, found = photo_of(noise(4, 4, 3)), (ctypes.c_float * 3)()
    codes = {code_of(library, "bitvit_logits", model, ctypes.byref(photo_of(noise(4, 4, 3, seed=i))), found)
             for i in range(20)}  # fmt: skip
    assert "OutputValueError" in codes
    assert photo.width == 4
    library.bitvit_free(model)


def test_many_threads_use_one_model(library: Any) -> None:
    model = load(library, to_bytes(tiny_file()), threads=2)
    photos = [noise(30 + i, 20, 3, seed=i) for i in range(8)]
    expected = [logits(library, model, photo_of(photo), 3) for photo in photos]
    wrong: list[int] = []

    def work(first: int) -> None:
        for i in range(200):
            number = (first + i) % len(photos)
            if not np.array_equal(logits(library, model, photo_of(photos[number]), 3), expected[number]):
                wrong.append(number)

    threads = [threading.Thread(target=work, args=(i,)) for i in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
    library.bitvit_free(model)


def test_lack_of_memory_is_a_code(classify: Path, tmp_path: Path) -> None:
    """However little memory there is, the program ends by itself, with a message."""
    path, picture = tmp_path / "tiny.bitvit", tmp_path / "a.ppm"
    file = tiny_file()
    file.provenance["filler"] = "x" * 3_000_000
    path.write_bytes(to_bytes(file))
    Image.fromarray(noise(600, 800, 3)).save(picture)
    program = classify.with_name("classify_static")
    outcomes = set()
    for megabytes in (8, 10, 12, 14, 16, 18, 20, 24, 32, 256):

        def limit(size: int = megabytes << 20) -> None:
            resource.setrlimit(resource.RLIMIT_AS, (size, size))

        done = subprocess.run([program, path, picture], capture_output=True, text=True, preexec_fn=limit, timeout=60)
        assert done.returncode in (0, 2), (megabytes, done.returncode, done.stderr)
        assert done.returncode == 0 or "OutOfMemoryError" in done.stderr or "memory" in done.stderr, done.stderr
        outcomes.add(done.returncode)
    assert outcomes == {0, 2}


def test_pictures_that_are_none(classify: Path, tmp_path: Path) -> None:
    path, picture = tmp_path / "tiny.bitvit", tmp_path / "a.ppm"
    path.write_bytes(to_bytes(tiny_file()))
    for content in (b"", b"P6\n4 4\n255\nshort", b"P3 1 1 255 0 0 0", b"P6 99999999 9999999 255\n"):
        picture.write_bytes(content)
        done = subprocess.run([classify, path, picture], capture_output=True, text=True)
        assert done.returncode == 2 and "no PPM" in done.stderr
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    for special in (pipe, Path("/dev/zero"), tmp_path):
        done = subprocess.run([classify, path, special], capture_output=True, text=True, timeout=60)
        assert done.returncode == 2 and "no PPM" in done.stderr
    for wrong in (picture, pipe):
        done = subprocess.run([classify, wrong, picture], capture_output=True, text=True, timeout=60)
        assert done.returncode == 2 and done.stderr.startswith("error: ")
