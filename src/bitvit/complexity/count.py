"""Operations, parameters and bytes of a model, layer by layer, counted while it runs once."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn

from bitvit.charge import Call, Charge
from bitvit.complexity.cost import Cost, total
from bitvit.complexity.model_bytes import packed_bytes
from bitvit.complexity.rules import find_rule
from bitvit.errors import BitvitError
from bitvit.layers import has_binary_layers, is_binary
from bitvit.layers.evaluation_mode import evaluation_mode
from bitvit.models import create_model

# A block is a numbered child of a list called `blocks`, as in timm; its parts are its children.
_BLOCK = re.compile(r"^(?P<block>(?:.*\.)?blocks\.\d+)(?:\.(?P<part>[^.]+))?")


class ComplexityError(BitvitError):
    """A model cannot be counted: it does not run on an image of its input size."""


@dataclass(frozen=True)
class Layer:
    """One module of the model with what it costs by itself, without its children."""

    name: str
    kind: str
    part: str
    cost: Cost

    @property
    def block(self) -> str | None:
        """Name of the block that the layer belongs to, None for the ends of the network."""
        match = _BLOCK.match(self.name)
        return match["block"] if match else None


@dataclass(frozen=True)
class Complexity:
    """What a model costs on one image.

    Attributes:
        model: name of the model.
        input_size: channels, height and width of the image.
        layers: modules in the order of the model, without those that cost nothing.
        header_bytes: what a `.bitvit` file of the model holds beside its tensors; 0 without packed form.
        uncounted: modules that ran and whose type has no rule, so that their own operations are missing from every sum.
    """

    model: str
    input_size: tuple[int, int, int]
    layers: list[Layer]
    header_bytes: int = 0
    uncounted: list[str] = field(default_factory=list)

    @property
    def total(self) -> Cost:
        """Return the costs of all layers together."""
        return total([layer.cost for layer in self.layers])

    @property
    def file_bytes(self) -> int:
        """Size of the model's `.bitvit` file, before `bitvit export` adds what it knows about the training run."""
        return self.total.packed_bytes + self.header_bytes

    @property
    def ends(self) -> Cost:
        """Everything outside the blocks: embedding, downsampling between stages, final normalization, heads."""
        return total([layer.cost for layer in self.layers if layer.block is None])

    @property
    def block_names(self) -> list[str]:
        """Return the names of the blocks, in the order of the network."""
        return list(dict.fromkeys(layer.block for layer in self.layers if layer.block is not None))

    def block(self, name: str) -> dict[str, Cost]:
        """Return the costs of one block by part, and their `total`.

        The parts are `attention` (or another token mixer), `mlp` and `other` (norms, residual sums, branches).
        """
        members = [layer for layer in self.layers if layer.block == name]
        parts = {
            part: total([layer.cost for layer in members if layer.part == part])
            for part in ("attention", "mlp", "other")
        }
        return {**parts, "total": total(list(parts.values()))}

    def to_dict(self) -> dict[str, Any]:
        """Return everything as plain data for JSON; `block` is the first block, as in Table IX of the GSB paper."""

        def costs(parts: dict[str, Cost]) -> dict[str, Any]:
            return {part: cost.to_dict() for part, cost in parts.items()}

        blocks = {name: costs(self.block(name)) for name in self.block_names}
        first = next(iter(blocks.values()), None)
        return {
            "model": self.model,
            "input_size": list(self.input_size),
            "total": self.total.to_dict(),
            "header_bytes": self.header_bytes,
            "file_bytes": self.file_bytes,
            "ends": self.ends.to_dict(),
            "block": None if first is None else {**first["total"], **first},
            "blocks": blocks,
            "layers": [
                {"name": layer.name, "kind": layer.kind, "part": layer.part, **layer.cost.to_dict()}
                for layer in self.layers
            ],
            "uncounted": self.uncounted,
        }


def complexity(model: str | nn.Module, input_size: tuple[int, int, int] | None = None, **kwargs: Any) -> Complexity:
    """Count what a model costs on one image.

    Args:
        model: a name registered with timm (ours and timm's own), or a module.
        input_size: channels, height, width; the model's own by default.
        **kwargs: passed to the model's constructor, where `model` is a name.

    Returns:
        Costs by layer; the rules are in `docs/complexity.md`.

    Raises:
        UsageError: the name is not registered.
        ComplexityError: the model does not run on such an image.
    """
    if isinstance(model, nn.Module):
        return _count(type(model).__name__, model, input_size)
    with torch.device("meta"):
        module = create_model(model, **kwargs)
    if not has_binary_layers(module):
        try:
            return _count(model, module, input_size)
        except ComplexityError:
            pass  # some operation needs real values; what is wrong beyond that fails again
    return _count(model, create_model(model, **kwargs), input_size)


def _count(name: str, model: nn.Module, input_size: tuple[int, int, int] | None) -> Complexity:
    config = getattr(model, "pretrained_cfg", None) or getattr(model, "default_cfg", None) or {}
    size = input_size or tuple(config.get("input_size", (3, 224, 224)))
    device = next((parameter.device for parameter in model.parameters()), torch.device("cpu"))
    uncounted: list[str] = []
    with _charging(model, uncounted) as charges:
        try:
            with evaluation_mode(model), torch.inference_mode():
                model(torch.zeros(1, *size, device=device))
        except (RuntimeError, AssertionError, ValueError) as error:
            raise ComplexityError(f"{name} does not run on an image of size {list(size)}: {error}") from error
    packed = packed_bytes(model)
    layers: list[Layer] = []
    for path, module in model.named_modules(remove_duplicate=True):
        cost = _cost(module, charges.get(path, Charge()), packed.by_module.get(path, 0))
        if cost != Cost():
            layers.append(Layer(path, type(module).__name__, _part(path), cost))
    channels, height, width = size
    return Complexity(name, (channels, height, width), layers, packed.header, uncounted)


@contextmanager
def _charging(model: nn.Module, uncounted: list[str]) -> Iterator[dict[str, Charge]]:
    """Charge every call of every module while the context is open; modules without a rule are named in `uncounted`."""
    charges: dict[str, Charge] = {}
    handles = []

    def watch(path: str, module: nn.Module) -> None:
        rule = find_rule(module)

        def hook(module: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
            if rule is None:
                uncounted.append(f"{path or 'the model itself'} ({type(module).__name__})")
                return
            first = output[0] if isinstance(output, (tuple, list)) else output
            shapes = tuple(tuple(value.shape) for value in inputs if isinstance(value, torch.Tensor))
            charges[path] = charges.get(path, Charge()) + rule(module, Call(shapes, tuple(first.shape)))

        handles.append(module.register_forward_hook(hook))

    for path, module in model.named_modules():
        watch(path, module)
    try:
        yield charges
    finally:
        for handle in handles:
            handle.remove()


def _cost(module: nn.Module, charge: Charge, packed_bytes: int) -> Cost:
    own = dict(module.named_parameters(recurse=False))
    parameters = sum(parameter.numel() for parameter in own.values())
    binary = own["weight"].numel() if is_binary(module) else 0
    float_bytes = 4 * parameters
    return Cost(charge, parameters, binary, float_bytes, packed_bytes)


def _part(path: str) -> str:
    match = _BLOCK.match(path)
    if match is None:
        return "ends"
    child = match["part"] or ""
    if child in ("attn", "attention", "mixer"):
        return "attention"
    return "mlp" if child == "mlp" else "other"
