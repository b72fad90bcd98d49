"""docs/scale.md for real: its programs, run in processes of their own on a folder of images."""

from __future__ import annotations

import importlib.util
import os
import pickle
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import bitvit
from bitvit.runtime import available_isas

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "scale.md").read_text(encoding="utf-8")
PROGRAMS = dict(re.findall(r"^## (.+?)\n.*?```python\n(.*?)```", PAGE, re.MULTILINE | re.DOTALL))

SPARK = """
if __name__ == "__main__":
    from pyspark.sql import SparkSession

    spark = SparkSession.builder.master("local[1]").config("spark.ui.enabled", "false").getOrCreate()
    for row in label_images(spark, "photos", "photos.bitvit").collect():
        print(row.path.rpartition("/")[2], row.label)
    spark.stop()
"""


@pytest.fixture
def place(packed_file: Path, tmp_path: Path) -> Path:
    """A folder with `photos.bitvit` and six photos."""
    (tmp_path / "photos.bitvit").write_bytes(packed_file.read_bytes())
    (tmp_path / "photos").mkdir()
    rng = np.random.default_rng(5)
    for i in range(6):
        Image.fromarray(rng.integers(0, 256, (20, 24, 3), np.uint8)).save(tmp_path / "photos" / f"{i}.png")
    return tmp_path


def expected_lines(place: Path) -> list[str]:
    predictor = bitvit.load(place / "photos.bitvit")
    return [f"{path.name} {predictor.predict(path).label}" for path in sorted((place / "photos").iterdir())]


@pytest.mark.parametrize("title", ["multiprocessing", "Dask", pytest.param("Ray Data", marks=pytest.mark.ecosystem)])
def test_programs_of_the_page(title: str, place: Path) -> None:
    package = {"Dask": "dask", "Ray Data": "ray"}.get(title)
    if package is not None and importlib.util.find_spec(package) is None:
        pytest.skip(f"{package} is not installed")
    program = place / "program.py"
    program.write_text(PROGRAMS[title])
    result = subprocess.run(
        [sys.executable, str(program)], cwd=place, capture_output=True, text=True, timeout=300, check=False
    )
    assert result.returncode == 0, result.stderr
    assert sorted(result.stdout.splitlines()) == expected_lines(place)


@pytest.mark.ecosystem
def test_spark_runs_the_program_of_the_page(place: Path) -> None:
    if importlib.util.find_spec("pyspark") is None or shutil.which("java") is None:
        pytest.skip("needs pyspark and Java")
    program = place / "program.py"
    program.write_text(PROGRAMS["Spark"] + SPARK)
    environment = {**os.environ, "PYSPARK_PYTHON": sys.executable, "SPARK_LOCAL_IP": "127.0.0.1"}
    result = subprocess.run(
        [sys.executable, str(program)],
        cwd=place,
        capture_output=True,
        text=True,
        timeout=900,
        check=False,
        env=environment,
    )
    assert result.returncode == 0, result.stderr
    assert sorted(result.stdout.splitlines()) == expected_lines(place)


def test_function_for_spark_labels_frames_of_any_number(place: Path) -> None:
    pandas = pytest.importorskip("pandas")
    names: dict[str, object] = {}
    exec(PROGRAMS["Spark"], names)
    run = names["labels"]((place / "photos.bitvit").read_bytes())  # type: ignore[operator]
    paths = sorted((place / "photos").iterdir())
    frames = [
        pandas.DataFrame({"path": [p.name for p in part], "content": [p.read_bytes() for p in part]})
        for part in (paths[:4], paths[4:])
    ]
    found = [f"{row.path} {row.label}" for frame in run(iter(frames)) for row in frame.itertuples()]
    assert found == expected_lines(place)


def test_predictor_pickles(place: Path, photo: Path) -> None:
    path = place / "photos.bitvit"
    predictor = bitvit.load(path, threads=1, isa="portable")
    predictor.decoding = replace(predictor.decoding, max_pixels=10_000)
    pickled = pickle.dumps(predictor)
    path.unlink()
    again = pickle.loads(pickled)
    assert again.info == predictor.info
    assert again.decoding == predictor.decoding
    assert (again.engine.isa, again.engine.threads) == ("portable", 1)
    assert again.predict(photo).logits.tolist() == predictor.predict(photo).logits.tolist()
    # What was not asked for is chosen anew by the machine that unpickles.
    free = pickle.loads(pickle.dumps(bitvit.load(predictor.engine.content())))
    assert free.engine.isa == available_isas()[-1]
    assert len(pickled) < 2 * predictor.info.size_bytes + 4096


def test_content_is_that_of_the_file(packed_file: Path, photo: Path) -> None:
    content = packed_file.read_bytes()
    predictor = bitvit.load(content)
    assert predictor.engine.content() == content
    assert (predictor.info.path, predictor.info.size_bytes) == ("(in memory)", len(content))
    assert predictor.predict(photo).top == bitvit.load(packed_file).predict(photo).top
    with pytest.raises(bitvit.errors.BitvitError):
        bitvit.load(content[:-1])
