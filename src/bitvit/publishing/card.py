"""The model card of a ``.bitvit`` file, made from what the file says about itself."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import yaml

from bitvit.program import FORMAT_VERSION, BitvitFile, Preprocessing
from bitvit.tasks import task_named
from bitvit.text import printable

__all__ = ["MARK", "Making", "model_card"]

MARK = "<!-- This card was written by `bitvit push` from the file's provenance. -->"
"""Stands in every card that was written here: such a card may be replaced, one that somebody wrote may not."""

# What the hub calls a task, and a metric (https://huggingface.co/docs/hub/model-cards-metadata).
_HUB_TASKS = {"classification": "image-classification", "segmentation": "image-segmentation"}
_HUB_METRICS = {"top1": "accuracy", "miou": "mean_iou"}
_MOST_LABELS = 200


@dataclass(frozen=True)
class Making:
    """What a file does not say of itself.

    Attributes:
        data: the images it was trained on: whose, how many, their licence.
        limits: what it is not good for.
        commands: those that made it.
        sample: the class of the picture beside the file, or those in it.
    """

    data: str
    limits: str
    commands: tuple[str, ...]
    sample: str


def model_card(
    file: BitvitFile, size_bytes: int, repository: str, license: str | None = None, making: Making | None = None
) -> str:
    """Return the card as the hub wants it: YAML metadata, then Markdown.

    Args:
        file: the file's content.
        size_bytes: its size.
        repository: ``user/name`` on the hub, for the commands that the card shows; a name alone is that of a file that
            comes with bitvit.
        license: identifier of the licence, such as ``apache-2.0``; by default that of the provenance.
        making: what else is known.

    Returns:
        The card's text.
    """
    stated = license or file.provenance.get("license")
    metadata = yaml.safe_dump(_metadata(file, repository, stated), sort_keys=False, allow_unicode=True)
    mark = f"{MARK}\n" if "/" in repository else ""
    return f"---\n{metadata}---\n{mark}\n" + "\n".join(_body(file, size_bytes, repository, stated, making)) + "\n"


def _metadata(file: BitvitFile, repository: str, license: Any) -> dict[str, Any]:
    task = _HUB_TASKS.get(file.task, file.task)
    metadata: dict[str, Any] = {
        **({"license": printable(license)} if license else {}),
        "library_name": "bitvit",
        "pipeline_tag": task,
        "tags": ["bitvit", "vision-transformer", "binary-neural-network", "quantization"],
    }
    accuracy, _ = _accuracy(file)
    if accuracy is not None:
        metric = task_named(file.task).metrics[0]
        kind = _HUB_METRICS.get(metric.key, metric.key)
        data = str(_entry(file, "data").get("name") or "unknown")
        metadata["metrics"] = [kind]
        metadata["model-index"] = [
            {
                "name": repository.rpartition("/")[2],
                "results": [
                    {
                        "task": {"type": task},
                        "dataset": {"name": printable(data), "type": re.sub(r"[^\w.-]+", "-", data) or "unknown"},
                        "metrics": [{"type": kind, "name": metric.title, "value": round(accuracy, 4)}],
                    }
                ],
            }
        ]
    return metadata


def _body(file: BitvitFile, size_bytes: int, repository: str, license: Any, making: Making | None) -> Iterator[str]:
    origin = file.provenance
    what = {"classification": "image classification", "segmentation": "semantic segmentation"}.get(file.task, file.task)
    yield f"# {plain(repository.rpartition('/')[2])}\n"
    yield (
        f"A 1-bit vision transformer ({plain(origin.get('model') or 'unnamed')}) for {what}: one file of "
        f"{size_bytes / 1e6:.2f} MB that runs with [bitvit](https://pypi.org/project/bitvit/) and without PyTorch, "
        "with the same answer on every machine.\n"
    )
    yield "## Use\n"
    package, address = ("'bitvit[hub]'", f"hf://{repository}") if "/" in repository else ("bitvit", repository)
    output = " --out masks/" if file.task == "segmentation" else ""
    yield f"```bash\npip install {package}\nbitvit predict {address} photo.jpg{output}\n```\n"
    yield (
        f'```python\nimport bitvit\n\npredictor = bitvit.load("{address}")\n'
        'prediction = predictor.predict("photo.jpg")\n```\n'
    )
    yield "## Figures\n"
    yield from _table(_figures(file, size_bytes))
    yield "\nMeasured on the images named here. On other images, expect other figures.\n"
    yield "## Input\n"
    yield _input(file.preprocessing) + "\n"
    yield f"## Classes ({len(file.labels)})\n"
    shown = ", ".join(plain(label) for label in file.labels[:_MOST_LABELS])
    yield shown + (f", and {len(file.labels) - _MOST_LABELS} more\n" if len(file.labels) > _MOST_LABELS else "\n")
    yield "## Origin\n"
    rows = [
        ("model", origin.get("model")),
        ("recipe", origin.get("recipe")),
        ("data", _entry(file, "data").get("name")),
        ("exported", origin.get("date")),
        ("bitvit", origin.get("bitvit_version")),
        ("file format", FORMAT_VERSION),
        ("licence", license),
    ]
    yield from _table([(name, plain(value)) for name, value in rows if value is not None])
    if making is not None:
        commands = "\n".join(making.commands)
        yield f"\n{making.data}\n\n{making.limits}\n\n```bash\n{commands}\n```\n\nA picture to try: {making.sample}"


def _figures(file: BitvitFile, size_bytes: int) -> Iterator[tuple[str, str]]:
    agreement = _entry(file, "agreement")
    title = task_named(file.task).metrics[0].title
    accuracy, images = _accuracy(file)
    if accuracy is not None:
        yield title, f"{accuracy:.2%}" + (f" of {images} images" if images else "")
    before = _number(agreement.get("checkpoint_accuracy"))
    if before is not None:
        yield f"{title} of the checkpoint in PyTorch", f"{before:.2%}"
    same = _number(agreement.get("identical_predictions"))
    if same is not None:
        yield "predictions identical to the checkpoint's", f"{same:.2%}"
    yield "size of the file", f"{size_bytes / 1e6:.3f} MB"
    checkpoint = _number(agreement.get("checkpoint_bytes"))
    if checkpoint:
        yield "size of the checkpoint", f"{checkpoint / 1e6:.2f} MB, {checkpoint / size_bytes:.1f} times the file"


def _accuracy(file: BitvitFile) -> tuple[float | None, int]:
    """The packed network's accuracy if export measured it, else the checkpoint's; and on how many images."""
    agreement = _entry(file, "agreement")
    packed = _number(agreement.get("packed_accuracy"))
    if packed is not None:
        return packed, int(_number(agreement.get("images")) or 0)
    return _number(_entry(file, "metrics").get(task_named(file.task).metrics[0].key)), 0


def _input(preprocessing: Preprocessing) -> str:
    height, width = preprocessing.image_size
    colours = {1: "grey", 3: "RGB", 4: "RGBA"}[preprocessing.channels]
    if preprocessing.fit == "stretch":
        fit = "The whole image is resized to that, whatever its aspect ratio"
    else:
        fit = f"The shorter side is resized to {preprocessing.resize_size}, and the centre is cut out"
    return f"{height} × {width} pixels, {colours}. {fit} ({preprocessing.interpolation}). bitvit does this itself."


def _table(rows: Iterator[tuple[str, str]] | list[tuple[str, str]]) -> Iterator[str]:
    yield "| | |\n|---|---|"
    yield from (f"| {name} | {value} |" for name, value in rows)


def _entry(file: BitvitFile, key: str) -> dict[str, Any]:
    """An object of the provenance; anything may stand there in a file of somebody else."""
    value = file.provenance.get(key)
    return value if isinstance(value, dict) else {}


def _number(value: Any) -> float | None:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def plain(text: object) -> str:
    """Return somebody's text so that Markdown and HTML show it as it is."""
    return re.sub(r"([\\`*_\[\]<>|#~$&])", r"\\\1", printable(text))
