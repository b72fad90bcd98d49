"""The choices of a binarization as one value: every row of the paper's ablation tables is a `BinarizationScheme`."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, Literal, get_args, get_origin, get_type_hints

from bitvit.errors import UsageError
from bitvit.layers.gsb_linear import Statistics, TypeA
from bitvit.quantizers.gsb_attention import InitialScales, Offset
from bitvit.quantizers.gsb_value import ValueThresholds
from bitvit.quantizers.scale_gradients import Gradients

PARTS = ("weights", "inputs", "query_key", "attention", "value")
"""Kinds of modules: weights of linear layers, their inputs, queries and keys, attention, values."""

MAX_START = 64.0

BaseMap = Literal["round", "mask"]
"""The base map A_bin of Table VIII: Eq. 11, or defined like the masks M_i."""


@dataclasses.dataclass(frozen=True)
class BinarizationScheme:
    """How a vision transformer is made binary; the defaults are the GSB model.

    Attributes:
        gsb_attention: superpose components of the attention (Table IV); False takes the baseline's single map (Eq. 7).
        gsb_value: superpose components of V (Table IV); False takes a plain sign.
        components_attention: number of extra components k_a (Table VI).
        components_value: number of extra components k_v (Table VI).
        value_thresholds: where the components of V begin: ``"paper"`` (shares of the largest value, Eq. 27),
            ``"quantile"`` (0.66 and 1.45 standard deviations of each head for two components) or ``"learned"``.
        value_statistics: translation and scale of V where it is a plain sign: learned, or XNOR-Net statistics; None
            takes ``linear_statistics``.
        offset: the attention's offset Phi (Table VII).
        offset_bits: storage of a learned Phi, 8 (trained so) or 32.
        base_map: definition of A_bin (Table VIII).
        type_a: binarization of non-negative activations (Table V).
        linear_statistics: translation and scale of the linear layers' inputs, Q and K: learned, or XNOR-Net statistics.
        first_last_bits: 8 quantizes patch convolution and heads, 32 keeps them real.
        attention_start: multiple of the mean of A_t that calibration gives a_0. At 1 (Eq. 22) A_bin is all ones where
            attention begins even; at 2 it is 1 above the mean.
        initial_scales: what calibration sets scales to: least squares (``"fitted"``), or 2 and 4 times a mean as the
            authors' release does.
        gradients: ``"release"`` averages gradients of scales as the release does (by ``1/sqrt(n)``), and lets V's pass
            outside the masks.
        first_stage: weights that are binary in stage 1: ``"all"``, or those of the MLPs alone, as in the release.
        binary_parts: kinds of modules that are binary at all; with fewer than all five the network is trained to be
            compared with, and not packed (Fig. 5).
    """

    gsb_attention: bool = True
    gsb_value: bool = True
    components_attention: int = 2
    components_value: int = 2
    value_thresholds: ValueThresholds = "paper"
    value_statistics: Literal["learned", "xnor"] | None = None
    offset: Offset = "full"
    offset_bits: Literal[8, 32] = 8
    base_map: BaseMap = "round"
    type_a: TypeA = "round"
    linear_statistics: Statistics = "learned"
    first_last_bits: Literal[8, 32] = 8
    attention_start: float = 1.0
    initial_scales: InitialScales = "fitted"
    gradients: Gradients = "paper"
    first_stage: Literal["all", "mlp"] = "all"
    binary_parts: tuple[str, ...] = PARTS

    def __post_init__(self) -> None:
        self._normalize()
        for name, hint in get_type_hints(BinarizationScheme).items():
            value = getattr(self, name)
            if name == "binary_parts":
                continue
            if name == "value_statistics":
                if value not in (None, "learned", "xnor"):
                    raise UsageError(f"scheme: {name} is {value!r}; choose one of 'learned', 'xnor', None")
            elif get_origin(hint) is Literal:
                if value not in get_args(hint) or isinstance(value, bool):
                    choices = ", ".join(repr(choice) for choice in get_args(hint))
                    raise UsageError(f"scheme: {name} is {value!r}; choose one of {choices}")
            elif type(value) is not hint:
                raise UsageError(f"scheme: {name} is {value!r}, which is not of type {hint.__name__}")
        for name in ("components_attention", "components_value"):
            if not 0 <= getattr(self, name) <= MAX_COMPONENTS:
                raise UsageError(f"scheme: {name} is {getattr(self, name)}; choose 0 to {MAX_COMPONENTS}")
        if self.type_a == "sign" and self.base_map == "mask":
            raise UsageError('scheme: type_a "sign" and base_map "mask" both define the base map; choose one')
        if self.type_a == "sign" and not self.gsb_attention:
            raise UsageError(
                'scheme: type_a "sign" would make the baseline\'s attention all ones; it needs gsb_attention'
            )

        if self.gradients == "release" and self.value_thresholds != "paper":
            raise UsageError('scheme: gradients "release" is for value_thresholds "paper"')
        if self.gradients == "release" and self.type_a == "sign":
            raise UsageError('scheme: gradients "release" is for type_a "round"')

    def _normalize(self) -> None:
        """Take a list for a tuple and a whole number for a float, as YAML and JSON write them.

        Raises:
            UsageError: a part is unknown, there is none, or a number is out of range.
        """
        start = self.attention_start
        if isinstance(start, bool) or not isinstance(start, int | float) or not 0 < start <= MAX_START:
            raise UsageError(f"scheme: attention_start is {start!r}; choose a number above 0, at most {MAX_START:g}")
        object.__setattr__(self, "attention_start", float(start))
        parts = self.binary_parts
        if not isinstance(parts, list | tuple) or not parts:
            raise UsageError(f"scheme: binary_parts is {parts!r}; choose a list of {', '.join(PARTS)}")
        unknown = [part for part in parts if part not in PARTS]
        if unknown:
            raise UsageError(f"scheme: binary_parts has {unknown[0]!r}; choose from {', '.join(PARTS)}")
        object.__setattr__(self, "binary_parts", tuple(part for part in PARTS if part in parts))

    @property
    def is_whole(self) -> bool:
        """Whether all kinds of modules are binary."""
        return self.binary_parts == PARTS

    def to_dict(self) -> dict[str, Any]:
        """The scheme as plain values, for JSON and YAML."""
        return {**dataclasses.asdict(self), "binary_parts": list(self.binary_parts)}


MAX_COMPONENTS = 8

SCHEMES: dict[str, BinarizationScheme] = {
    "gsb": BinarizationScheme(),
    "baseline": BinarizationScheme(
        gsb_attention=False,
        gsb_value=False,
        components_attention=0,
        components_value=0,
        offset="none",
        linear_statistics="xnor",
    ),
}
"""Named schemes: ``gsb`` (the paper's model) and ``baseline`` (its section III)."""

SchemeLike = str | BinarizationScheme | Mapping[str, Any]


def resolve_scheme(scheme: SchemeLike, default: BinarizationScheme = SCHEMES["gsb"]) -> BinarizationScheme:
    """Return the scheme that is named, given, or changed by a mapping of fields.

    Args:
        scheme: a name in `SCHEMES`, a scheme, or fields that replace those of ``default``.
        default: the scheme that a mapping changes.

    Raises:
        UsageError: unknown name or field, or a value that makes no sense.
    """
    if isinstance(scheme, BinarizationScheme):
        return scheme
    if isinstance(scheme, str):
        if scheme not in SCHEMES:
            raise UsageError(f"unknown binarization scheme {scheme!r}; choose one of {', '.join(sorted(SCHEMES))}")
        return SCHEMES[scheme]
    known = {field.name for field in dataclasses.fields(BinarizationScheme)}
    unknown = sorted(set(scheme) - known)
    if unknown:
        raise UsageError(f"unknown scheme field {unknown[0]!r}; the fields are {', '.join(sorted(known))}")
    return dataclasses.replace(default, **scheme)
