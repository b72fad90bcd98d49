"""Threshold coefficients of the superposed components (GSB Eq. 13 and 27)."""


def component_factors(components: int) -> tuple[float, ...]:
    """Return ``c_i = 0.5 + 0.4 i / k`` for i = 1..k: fractions of the maximum that divide [0.5, 0.9] equally."""
    return tuple(0.5 + 0.4 * i / components for i in range(1, components + 1))
