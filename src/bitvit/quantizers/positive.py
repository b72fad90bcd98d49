"""Scales that are positive by construction, under any optimizer."""

from __future__ import annotations

import torch
from torch import Tensor, nn

MIN_SCALE = 1e-5
"""Smallest value that a scale is set to (GSB section IV-B: all alphas and betas are positive)."""

MIN_STEP = 1e-10
"""Smallest value that a step of an 8-bit quantizer is set to; a step is about 1/100 of the values it quantizes."""

LARGEST_DRIFT = 4.0
"""Training keeps a scale within ``exp(-4)`` to ``exp(4)`` (1/55 to 55) times the value that it was set to.

A component that training drives down has no visible part in the output long before that, and from there it can return:
in the logarithm's domain the gradient shrinks with the scale."""


class Positive:
    """Attribute of a module whose value is ``base_<name> * exp(log_<name>)``: a learned scale that is never 0.

    Declared in the class body, ``scales = Positive()``. The first assignment, in ``__init__``, makes the buffer
    ``base_scales`` and the parameter ``log_scales``; this and each later one puts the given value, without gradient,
    into the buffer and 0 into the parameter. So a value that was set, from data or from a file, is kept to the bit, and
    an optimizer moves its logarithm: in relative steps, whatever the size of the scale. Reading gives the value, with
    the gradient ``dL/dlog = value * dL/dvalue``.

    Args:
        minimum: smaller values that are assigned become this one.
    """

    def __init__(self, minimum: float = MIN_SCALE) -> None:
        self._minimum = minimum
        self._base = self._log = ""

    def __set_name__(self, owner: type[nn.Module], name: str) -> None:
        self._base, self._log = f"base_{name}", f"log_{name}"

    def __get__(self, module: nn.Module, owner: type[nn.Module] | None = None) -> Tensor:
        base: Tensor = getattr(module, self._base)
        log: Tensor = getattr(module, self._log)
        return base * log.exp()

    def __set__(self, module: nn.Module, value: Tensor | float) -> None:
        with torch.no_grad():
            if self._base not in module._buffers:
                first = torch.as_tensor(value).detach().clamp_min(self._minimum)
                module.register_buffer(self._base, first)
                module.register_parameter(self._log, nn.Parameter(torch.zeros_like(first)))
                return
            base, log = module.get_buffer(self._base), module.get_parameter(self._log)
            base.copy_(torch.as_tensor(value, dtype=base.dtype, device=base.device)).clamp_min_(self._minimum)
            log.zero_()


@torch.no_grad()
def limit_drift(logs: list[nn.Parameter]) -> None:
    """Bring parameters ``log_<name>`` back into their range (`LARGEST_DRIFT`), in place.

    In the logarithm's domain gradients shrink with the scale, so that one that drifted far down would not return.
    """
    torch._foreach_clamp_min_(tuple(logs), -LARGEST_DRIFT)
    torch._foreach_clamp_max_(tuple(logs), LARGEST_DRIFT)
