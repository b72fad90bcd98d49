"""What is seen in each figure, in words that follow from its numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from bitvit.inspection.attention_maps import AttentionMaps
from bitvit.inspection.curves import Curve
from bitvit.training.phase_names import PHASE_TITLES


def distribution_caption(document: Mapping[str, Any], state: str) -> str:
    """Describe `draw_distribution`."""
    real, eq8, eq2 = document["real"], document["eq8"], document["eq2"]
    text = (
        f"Attention of {document['layer']} on {document['images']} images, {state}; shares on a logarithmic scale, "
        f"the dashed line is the threshold of rounding. A_re has the mean {real['mean']:.3f} and reaches "
        f"{real['largest']:.2f}; {real['above_half']:.2%} of its values exceed 0.5."
    )
    if document["eq8_undefined"] > 0:
        text += (
            f" In {document['eq8_undefined']:.0%} of the images none does, so that Eq. 8 has nothing to average: "
            "without a factor all attention would round to 0, and the baseline falls back on Eq. 2."
        )
    if eq8 is not None:
        text += (
            f" Scaled by Eq. 8, {eq8['share_of_ones']:.1%} of the values become 1, and {eq8['empty_rows']:.1%} of the "
            "rows become all 0, where the feature of a token vanishes."
        )
    text += (
        f" Scaled by Eq. 2, {eq2['share_of_ones']:.1%} of the values become 1, and {eq2['empty_rows']:.1%} of the rows "
        "are all 0."
    )
    if "binary" in document:
        binary = document["binary"]
        text += (
            f" The network itself uses {binary['number_of_levels']} level(s) in their place, and "
            f"{binary['empty_rows']:.1%} of its rows are all 0."
        )
    return text


def module_caption(document: Mapping[str, Any]) -> str:
    """Describe `draw_module_losses`."""
    student, restored = document["student"], document["restored"]
    metric = document["metric"]["key"]
    best = max(restored, key=lambda kind: restored[kind][metric])
    gain = restored[best][metric] - student[metric]
    text = ""
    if "only" in document:
        teacher, only = document["teacher"], document["only"]
        order = sorted(only, key=lambda kind: only[kind]["loss"], reverse=True)
        listed = ", ".join(f"{kind} ({only[kind]['loss']:.2f})" for kind in order)
        text += (
            f"Top: the full-precision teacher ({teacher[metric]:.1%}) with the binarization of one kind of module "
            f"switched on, scales set from images. Loss with each, highest first: {listed}. Below: "
        )
    text += f"the trained student ({student[metric]:.1%}) with one kind of module given real values again. "
    if gain > 0:
        text += f"The most is gained with {best} ({100 * gain:+.1f} points). "
    else:
        text += "None of it helps: the student has learned with its bits and does not work with real values. "
    text += (
        f"{document['images']} validation images. This is not Fig. 5 of the paper: there every variant was trained for "
        "600 epochs from scratch; here nothing is trained after the switch, so binarization costs more than in the "
        "paper, and only the order of the modules compares."
    )
    if "no_teacher" in document:
        text += f" The teacher's half is left out: {document['no_teacher']}."
    return text[0].upper() + text[1:]


def curves_caption(runs: Mapping[str, Sequence[Curve]]) -> str:
    """Describe `draw_curves`."""
    sentences = [
        f"{name}, {PHASE_TITLES[curve.phase]}: training loss ends at {curve.train[-1]:.2f}, test loss at "
        f"{curve.test[-1]:.2f} (lowest {min(curve.test):.2f})."
        for name, curves in runs.items()
        for curve in curves
        if curve.test and curve.train
    ]
    return " ".join(
        [
            "Training loss is the loss that was minimized, on augmented images and with distillation where the run has "
            "it; test loss is the plain cross entropy: compare shapes, not heights, of the two.",
            *sentences,
        ]
    )


def maps_caption(maps: AttentionMaps) -> str:
    """Describe `draw_maps`."""
    verb = "attends" if maps.seen_by == "class token" else "attend"
    text = (
        f"What the {maps.seen_by} {verb} to in {maps.layer}, mean of the heads, each map scaled to its largest value "
        "(bright). 'Baseline' applies Eq. 7 with the factor of that equation to the student's own attention."
    )
    empty = [
        f"{name} leaves {share:.0%} of the maps empty"
        for name, share in zip(maps.columns, maps.empty, strict=True)
        if share
    ]
    return f"{text} {'; '.join(empty)}." if empty else text
