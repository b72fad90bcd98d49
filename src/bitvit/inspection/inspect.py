"""Everything that `bitvit inspect` makes, from run to files."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from bitvit.checkpoints import build_model
from bitvit.errors import OutputError, UsageError
from bitvit.files import write_atomically
from bitvit.inspection import captions, drawing
from bitvit.inspection.attention_maps import attention_maps
from bitvit.inspection.curves import Curve
from bitvit.inspection.distributions import distribution
from bitvit.inspection.inspected_run import InspectedRun
from bitvit.inspection.module_loss import module_losses
from bitvit.inspection.page import Section, html_page
from bitvit.inspection.taps import attention_layers, tap_attention
from bitvit.layers import calibrate

_DISTRIBUTION_IMAGES = 64
_NO_ATTENTION = "The network has no attention layer, so there is nothing to show."


def inspect_run(
    inspected: InspectedRun,
    curves: Mapping[str, Sequence[Curve]],
    folder: Path,
    *,
    maps: int = 6,
    seed: int = 0,
    note: Callable[[str], None] = lambda message: None,
) -> dict[str, Any]:
    """Draw the figures of a trained network and write `report.html`, `inspect.json` and the pictures.

    Args:
        inspected: the run and its images.
        curves: loss curves of runs by name; may be empty.
        folder: where the files go; made if it is not there.
        maps: images with attention maps.
        seed: of the untrained network.
        note: is told what is being made.

    Returns:
        The numbers, as `inspect.json` holds them.

    Raises:
        OutputError: the folder cannot be written.
    """
    numbers: dict[str, Any] = {
        "run": inspected.path.resolve().name,
        "model": inspected.name,
        "images": len(inspected.targets),
    }
    sections: list[Section] = []
    has_attention = bool(attention_layers(inspected.student))
    for key, title, state in (
        ("initial", "Attention before training (Fig. 4)", "before training"),
        ("trained", "Attention after training (Fig. 6)", "after training"),
    ):
        note(title)
        if not has_attention:
            sections.append(Section(f"attention_{key}", title, _NO_ATTENTION))
            continue
        found = _distribution(inspected, trained=key == "trained", seed=seed)
        numbers[f"attention_{key}"] = found
        png = drawing.draw_distribution(found, f"{inspected.name}, {found['layer']}, {state}")
        sections.append(Section(f"attention_{key}", title, captions.distribution_caption(found, state), png))
    note("Loss by module")
    losses = module_losses(inspected)
    numbers["modules"] = losses
    title = "What each kind of module loses by binarization (in the manner of Fig. 5)"
    sections.append(Section("modules", title, captions.module_caption(losses), drawing.draw_module_losses(losses)))
    if curves:
        numbers["curves"] = {name: [vars(curve) for curve in phases] for name, phases in curves.items()}
        title = "Loss over training (in the manner of Fig. 11)"
        sections.append(Section("curves", title, captions.curves_caption(curves), drawing.draw_curves(curves)))
    note("Attention maps")
    sections.append(
        _maps(inspected, maps, numbers) if has_attention else Section("maps", "Attention maps", _NO_ATTENTION)
    )
    _write(inspected, sections, numbers, folder)
    return numbers


def _distribution(inspected: InspectedRun, *, trained: bool, seed: int) -> dict[str, Any]:
    images = inspected.images[:_DISTRIBUTION_IMAGES]
    model = inspected.student
    if not trained:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            model = build_model(inspected.info.model).eval()
        calibrate(model, images)
    return distribution(tap_attention(model, attention_layers(model)[-1], images))


def _maps(inspected: InspectedRun, count: int, numbers: dict[str, Any]) -> Section:
    title = "Where the network looks"
    try:
        found = attention_maps(inspected, count)
    except UsageError as error:
        return Section("maps", title, f"No attention maps: {error}.")
    numbers["maps"] = {"layer": found.layer, "empty": dict(zip(found.columns, found.empty, strict=True))}
    labels = [inspected.task.describe_target(target, inspected.classes) for target in inspected.targets[:count]]
    png = drawing.draw_maps(found, inspected.pixels[:count].numpy(), labels)
    return Section("maps", title, captions.maps_caption(found), png)


def _write(inspected: InspectedRun, sections: Sequence[Section], numbers: dict[str, Any], folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"cannot write to {folder}: {error.strerror}") from None
    for section in sections:
        if section.png is not None:
            write_atomically(folder / f"{section.key}.png", section.png)
    few = min(len(inspected.targets), _DISTRIBUTION_IMAGES)
    facts = [
        ("network", inspected.name),
        ("images", f"{len(inspected.targets)} for the modules, {few} for the distributions"),
        ("teacher", "none" if inspected.teacher is None else type(inspected.teacher).__name__),
    ]
    page = html_page(f"Inspection of {numbers['run']}", facts, sections, numbers)
    write_atomically(folder / "inspect.json", (json.dumps(numbers, indent=2, allow_nan=False) + "\n").encode())
    write_atomically(folder / "report.html", page.encode())
