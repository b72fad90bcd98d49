"""The choices of a binarization as one value: every row of the paper's ablation tables is a `BinarizationScheme`."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, Literal, get_args, get_origin, get_type_hints

from bitvit.errors import UsageError
from bitvit.layers.gsb_linear import Statistics, TypeA
from bitvit.quantizers.gsb_attention import Offset
from bitvit.quantizers.gsb_value import ValueThresholds

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

    def __post_init__(self) -> None:
        for name, hint in get_type_hints(BinarizationScheme).items():
            value = getattr(self, name)
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

    def to_dict(self) -> dict[str, Any]:
        """The scheme as plain values, for JSON and YAML."""
        return dataclasses.asdict(self)


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
