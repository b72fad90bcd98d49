"""Studies from YAML: those that come with bitvit, files, and the one that a study's folder keeps."""

from __future__ import annotations

from dataclasses import replace
from importlib import resources
from pathlib import Path

from bitvit.studies.errors import StudyError
from bitvit.studies.study import SMOKE_SUFFIX, Study
from bitvit.training.errors import RecipeError
from bitvit.training.recipe_parsing import from_mapping, read_yaml

__all__ = ["STUDY_FILE", "as_it_was_run", "check_owner", "load_study", "packaged_studies", "parse_study"]

STUDY_FILE = "study.yaml"
"""The resolved study in its folder."""


def packaged_studies() -> list[str]:
    """Return the names of the studies that come with bitvit."""
    folder = resources.files("bitvit.recipes.studies")
    return sorted(entry.name.removesuffix(".yaml") for entry in folder.iterdir() if entry.name.endswith(".yaml"))


def load_study(source: str | Path) -> Study:
    """Return the study called `source`: a packaged name, or the path of a YAML file.

    Raises:
        StudyError: if there is none, or something in it is wrong; the message names file and key.
    """
    name = str(source)
    if name in packaged_studies():
        text = resources.files("bitvit.recipes.studies").joinpath(f"{name}.yaml").read_text("utf-8")
        return parse_study(text, name, f"study {name}")
    path = Path(source).expanduser()
    if not path.is_file():
        raise StudyError(f"no study '{name}': it is neither a file nor one of {', '.join(packaged_studies())}")
    try:
        text = path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise StudyError(f"{path}: cannot be read ({error})") from None
    return parse_study(text, path.stem, str(path))


def parse_study(text: str, name: str, where: str = "study") -> Study:
    """Return the study in a YAML text.

    Args:
        text: YAML.
        name: its name, unless the text gives one.
        where: what an error's message begins with.

    Raises:
        StudyError: if something in it is wrong.
    """
    try:
        return from_mapping(Study, {"name": name, **read_yaml(text, "the file")})
    except (RecipeError, StudyError) as error:
        raise StudyError(f"{where}: {error}") from None


def as_it_was_run(study: Study, folder: Path) -> Study:
    """Return the study with the overrides, the cut and the seeds of the last command on its folder.

    Raises:
        StudyError: if the folder has no study, or another one.
    """
    path = folder / STUDY_FILE
    if not path.is_file():
        raise StudyError(f"{folder}: contains no study yet; run it without --report-only")
    check_owner(study, folder)
    stored = load_study(path)
    final = {**stored.final, **study.final}
    return replace(study, name=stored.name, final=final, max_epochs=stored.max_epochs, seeds=stored.seeds)


def check_owner(study: Study, folder: Path) -> None:
    """Make sure that a folder, if it holds a study, holds this one, as a whole or in its smoke form.

    Raises:
        StudyError: if it belongs to another one.
    """
    path = folder / STUDY_FILE
    if not path.is_file():
        return
    owner = load_study(path).name.removesuffix(SMOKE_SUFFIX)
    if owner != study.name.removesuffix(SMOKE_SUFFIX):
        raise StudyError(f"{folder}: belongs to the study '{owner}', not to '{study.name}'; choose another --out")
