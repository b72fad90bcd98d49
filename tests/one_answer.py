"""One table: the digest of a network's answers to pictures, everywhere it runs.

python tests/one_answer.py photos.bitvit photos/*.jpg
python tests/one_answer.py digits --random 50

Places: Python with every instruction set of this machine, the C example for AArch64 under qemu (Cortex-A53 and
Cortex-A76) and for Windows under Wine, the npm package in Node, the page in Chromium. What this machine lacks is named.
Pictures are decoded once and handed on without loss, because decoders of JPEG differ. Exit code 1 if the digests are
not one value.
"""

from __future__ import annotations

import argparse
import hashlib
import shutil
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageOps

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from bitvit.model_files import local_file
from bitvit.runtime import available_isas
from bitvit.trained import trained_model
from tests.everywhere import test_one_answer as places
from tests.support.browser import chromium, drop, opened, shown_digests
from tests.support.native_builds import run


def decoded(paths: list[Path], folder: Path) -> list[Path]:
    """Write pictures as PPM, or PGM where they are grey: what the C example reads."""
    found = []
    for number, path in enumerate(paths):
        image = ImageOps.exif_transpose(Image.open(path))
        is_grey = image.mode == "L"
        found.append(folder / f"{number:03d}.{'pgm' if is_grey else 'ppm'}")
        (image if is_grey else image.convert("RGB")).save(found[-1])
    return found


def random_pictures(count: int, folder: Path) -> list[Path]:
    """Pictures of all sizes, a tenth of them grey; others in each run."""
    rng = np.random.default_rng()
    found = []
    for number in range(count):
        height, width = (int(side) for side in rng.integers(1, 700, 2))
        coarse = Image.fromarray(rng.integers(0, 256, (7, 7, 3), dtype=np.uint8))
        image = coarse.resize((width, height), Image.Resampling.BICUBIC)
        found.append(folder / f"random{number}.png")
        (image.convert("L") if number % 10 == 9 else image).save(found[-1])
    return found


def in_chromium(file: Path, pictures: list[Path], folder: Path) -> list[str]:
    """Digests that the page shows."""
    pngs = [folder / f"{path.stem}.png" for path in pictures]
    for path, png in zip(pictures, pngs, strict=True):
        Image.open(path).save(png)
    with chromium() as browser, opened(browser, places.web() / "bitvit.html") as page:
        drop(page, file, *pngs)
        shown = shown_digests(page)
    return [shown[png.name] for png in pngs]


def in_node(file: Path, pictures: list[Path], folder: Path) -> list[str]:
    """Digests that the packed npm package gives, installed in an empty folder."""
    package = places.installed_package(folder / "node")
    shutil.copy(places.HERE / "digests.mjs", package)
    return run(["node", "digests.mjs", file, *pictures], cwd=package).split()


def in_c(cpu: str, file: Path, pictures: list[Path], folder: Path) -> list[str]:
    """Digests that the C example prints, built for AArch64 and emulated."""
    program = places.c_example(folder / cpu)
    output = run([*f"{places.QEMU} {cpu}".split(), program, "--digest", file, *pictures])
    return [line.split()[0] for line in output.splitlines()]


def in_c_on_windows(file: Path, pictures: list[Path], folder: Path) -> list[str]:
    """Digests that the C example prints, built for Windows."""
    command = places.wine()
    program = places.c_example_for_windows(folder / "windows")
    return [line.split()[0] for line in run([*command, program, "--digest", file, *pictures]).splitlines()]


def main() -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", help="a .bitvit file, or the name of a network that comes with bitvit")
    parser.add_argument("pictures", nargs="*", type=Path)
    parser.add_argument("--random", type=int, default=0, metavar="N", help="N more pictures, random ones")
    arguments = parser.parse_args()
    trained = trained_model(arguments.file)
    file = (trained.path if trained else local_file(Path(arguments.file))).resolve()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        pictures = decoded([*arguments.pictures, *random_pictures(arguments.random, folder)], folder)
        ways: dict[str, Callable[[], list[str]]] = {
            f"Python, {isa}": lambda isa=isa: places.digests_of_python(file, pictures, isa)  # type: ignore[misc]
            for isa in available_isas()
        }
        for cpu in ("cortex-a53", "cortex-a76"):
            ways[f"C, AArch64 ({cpu}, qemu)"] = lambda cpu=cpu: in_c(cpu, file, pictures, folder)  # type: ignore[misc]
        ways["C, Windows (x86-64, Wine)"] = lambda: in_c_on_windows(file, pictures, folder)
        ways["npm package, Node"] = lambda: in_node(file, pictures, folder)
        ways["page, Chromium"] = lambda: in_chromium(file, pictures, folder)
        digests = set()
        print(f"{file.name}, {len(pictures)} pictures: SHA-256 of the digests of all answers\n")
        print("| where | digest |\n|---|---|")
        for name, digests_of in ways.items():
            try:
                found = digests_of()
            except pytest.skip.Exception as reason:
                print(f"| {name} | not here: {reason} |", flush=True)
                continue
            assert len(found) == len(pictures), name
            digests.add(hashlib.sha256("".join(found).encode()).hexdigest())
            print(f"| {name} | `{hashlib.sha256(''.join(found).encode()).hexdigest()[:16]}` |", flush=True)
    print(f"\n{'one value' if len(digests) == 1 else 'THEY DIFFER'}")
    return len(digests) != 1


if __name__ == "__main__":
    sys.exit(main())
