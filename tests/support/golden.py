"""Reading the golden data: numbers that the authors' code produced (`tests/golden`, or a folder of one's own)."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

GOLDEN = Path(os.environ.get("BITVIT_GOLDEN", Path(__file__).resolve().parents[1] / "golden"))
"""The folder; the environment variable BITVIT_GOLDEN names another one with cases of the same form."""


@dataclass(frozen=True)
class GoldenCase:
    """One network: configuration, the authors' tensors, inputs and results."""

    name: str
    config: dict[str, Any]
    state_dict: dict[str, Tensor]
    io: dict[str, Tensor]
    lazy: dict[str, Tensor]

    def images(self, dtype: torch.dtype = torch.float32) -> Tensor:
        """The images ``[B, 3, H, W]``, exact in every float type."""
        return (self.io["images_u8"].to(dtype) - 128) / 64

    def gradients(self) -> dict[str, Tensor]:
        """The gradients of the loss by the authors' parameter names; bounds of clamps inclusive where that matters."""
        return {name[5:]: value for name, value in self.io.items() if name.startswith("grad/")}

    def left_out_gradients(self) -> set[str]:
        """Parameters whose gradients were left out of the case to keep it small."""
        return {name[5:] for name in self.config.get("left_out", ()) if name.startswith("grad/")}

    def input_gradient(self) -> Tensor | None:
        """The gradient of the images, of the first image alone in large cases; None where it was left out."""
        return self.io.get("grad_input", self.io.get("grad_input_img0"))


def case_names() -> list[str]:
    """Names of all cases in the folder, none if it is absent."""
    return sorted(path.parent.name for path in GOLDEN.glob("*/config.json"))


def read_config(name: str) -> dict[str, Any]:
    """Read a case's configuration."""
    config: dict[str, Any] = json.loads((GOLDEN / name / "config.json").read_text(encoding="utf-8"))
    return config


@cache
def load_case(name: str) -> GoldenCase:
    """Read a case."""
    folder = GOLDEN / name
    io = load_file(folder / "io.safetensors")
    inclusive = folder / "grad_inclusive_clamp.safetensors"
    if inclusive.exists():
        io |= load_file(inclusive)
    lazy = folder / "lazy_init.safetensors"
    return GoldenCase(
        name,
        read_config(name),
        load_file(folder / "state_dict.safetensors"),
        io,
        load_file(lazy) if lazy.exists() else {},
    )


@cache
def _operators(family: str) -> dict[str, Tensor]:
    return load_file(GOLDEN / "ops" / f"{family}.safetensors")


def operator(family: str, name: str) -> dict[str, Tensor]:
    """The tensors of a single operator, by their names within it."""
    prefix = f"{name}/"
    return {key[len(prefix) :]: value for key, value in _operators(family).items() if key.startswith(prefix)}


def relative_error(value: Tensor, reference: Tensor, floor: float = 0.0) -> float:
    """The largest difference over the largest magnitude of the reference, but no less than ``floor``."""
    value, reference = value.detach(), reference.detach()
    largest = max(float(reference.abs().max()), floor, 1e-300)
    return float((value.double() - reference.double()).abs().max()) / largest


def scale_gradient(module: nn.Module, name: str) -> Tensor:
    """The gradient of a positive scale itself, ``dL/ds = dL/dlog / s``; name: as of the attribute, with its path."""
    path, _, leaf = name.rpartition(".")
    owner = module.get_submodule(path)
    log = owner.get_parameter(f"log_{leaf}").grad
    assert log is not None
    return log / getattr(owner, leaf).detach()


@torch.no_grad()
def set_scales(module: nn.Module, **values: Tensor) -> None:
    """Assign positive scales by their attributes' names, with ``__`` for the dots of their paths."""
    for name, value in values.items():
        path, _, leaf = name.replace("__", ".").rpartition(".")
        owner = module.get_submodule(path)
        setattr(owner, leaf, value.reshape(getattr(owner, leaf).shape))
