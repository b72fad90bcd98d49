"""examples/own_images.ipynb, run in a kernel of its own as somebody who opened it would run it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from bitvit.program import read_file

ROOT = Path(__file__).parents[2]
nbformat = pytest.importorskip("nbformat")
pytest.importorskip("nbclient")
NOTEBOOK = ROOT / "examples" / "own_images.ipynb"

SHORT = """
recipe_name = {recipe!r}
changes = {{"data.samples_per_class": 8}}
"""


EXECUTE = """
import sys, nbclient, nbformat
notebook = nbformat.read(sys.argv[1], as_version=4)
nbclient.NotebookClient(notebook, timeout=None).execute()
nbformat.write(notebook, sys.argv[1])
"""


def run_notebook(place: Path, settings: str, timeout_s: float) -> list[Any]:
    """Run the notebook with more settings in `place`, and return its cells of code with what they printed and drew."""
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    (cell,) = (cell for cell in notebook.cells if "parameters" in cell.metadata.get("tags", []))
    cell.source += settings
    nbformat.write(notebook, place / "own_images.ipynb")
    here = {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", "IPYTHONDIR": str(place / "ipython")}
    command = [sys.executable, "-c", EXECUTE, "own_images.ipynb"]
    done = subprocess.run(
        command, cwd=place, env={**os.environ, **here}, capture_output=True, text=True, timeout=timeout_s, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]
    notebook = nbformat.read(place / "own_images.ipynb", as_version=4)
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def printed(cell: Any) -> str:
    return "".join(output.text for output in cell.outputs if output.output_type == "stream")


def assert_complete(cells: list[Any], place: Path) -> None:
    pictures = [output for cell in cells for output in cell.outputs if "image/png" in output.get("data", {})]
    assert len(pictures) == 4  # images, curves, answers, attention
    by_id = {cell.id: printed(cell) for cell in cells}
    assert all(phase in by_id["train"] for phase in ("teacher", "stage1", "stage2"))
    assert "identical predictions" in by_id["export"] and "kB" in by_id["predict"]
    assert read_file(place / "own.bitvit").labels == [str(digit) for digit in range(10)]


def test_it_runs_from_top_to_bottom(recipe_file: Path, tmp_path: Path) -> None:
    cells = run_notebook(tmp_path, SHORT.format(recipe=str(recipe_file)), timeout_s=600)
    assert_complete(cells, tmp_path)


@pytest.mark.ecosystem
def test_it_learns_with_its_own_settings(tmp_path: Path) -> None:
    cells = run_notebook(tmp_path, "", timeout_s=7200)  # five minutes of a processor
    assert_complete(cells, tmp_path)
    (train,) = (printed(cell) for cell in cells if cell.id == "train")
    scores = [float(line.split()[1].rstrip("%")) for line in train.splitlines() if "%" in line]
    assert min(scores) > 90


def test_it_is_stored_without_outputs() -> None:
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    nbformat.validate(notebook)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert all(cell.outputs == [] and cell.execution_count is None for cell in code)
