"""What all random uses of operators are made of."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from bitvit.program import Value, sign_bits, to_stored
from bitvit.program.schema import AnyArray

Rng = np.random.Generator

# Around bytes, 32- and 64-bit words, and the 16 lanes of sum16.
WIDTHS = (1, 2, 3, 7, 8, 9, 15, 16, 17, 31, 32, 33, 36, 63, 64, 65, 100, 127, 128, 129, 192, 257)


@dataclass
class OperatorCase:
    """One operator with inputs for one image, in the forms of the interpreter."""

    kind: str
    inputs: list[AnyArray]
    input_values: list[Value]
    output_values: list[Value]
    attrs: dict[str, Any] = field(default_factory=dict)
    tensors: dict[str, AnyArray] = field(default_factory=dict)

    def stored_inputs(self) -> list[AnyArray]:
        """The inputs in their stored forms, without a batch axis."""
        return [to_stored(value.type, array) for value, array in zip(self.input_values, self.inputs, strict=True)]


def f32(rng: Rng, *shape: int, ties: bool = True) -> AnyArray:
    """Normal numbers; with ``ties`` about half are rounded to quarters, some of them to -0.0 and +0.0."""
    x = rng.standard_normal(shape).astype(np.float32)
    if ties:
        x = np.where(rng.random(shape) < 0.5, np.round(x * 4) / 4, x).astype(np.float32)
    return x


def positive(rng: Rng, *shape: int) -> AnyArray:
    return rng.uniform(0.05, 2.0, shape).astype(np.float32)


def bits(rng: Rng, *shape: int) -> AnyArray:
    """Random bits with a random share of ones, now and then all alike."""
    share = rng.choice([0.0, 0.1, 0.5, 0.9, 1.0], p=[0.05, 0.2, 0.5, 0.2, 0.05])
    return rng.random(shape) < share


def weight_bits(rng: Rng, n_outputs: int, n_inputs: int) -> AnyArray:
    return sign_bits(np.where(bits(rng, n_outputs, n_inputs), -1, 1))


def exponential_table(rng: Rng, width: int) -> AnyArray:
    """exp(-2 s p) for p = 0..width, as the export writes it for some scale s."""
    steepness = float(rng.uniform(0.02, 1.0))
    return np.exp(-2.0 * steepness * np.arange(width + 1)).astype(np.float32)


def random_width(rng: Rng) -> int:
    return int(rng.choice(WIDTHS))


def random_rows(rng: Rng) -> int:
    return int(rng.choice([1, 2, 3, 5, 7, 8, 13, 17, 20]))


def random_heads(rng: Rng) -> tuple[int, int]:
    return int(rng.integers(1, 5)), int(rng.choice([1, 3, 4, 8, 12, 16, 31, 32, 33, 64, 65]))


def random_split(rng: Rng, n_rows: int, n_channels: int) -> tuple[int, ...]:
    """[N, C], or [N, H, D] with a random split of the channels."""
    divisors = [h for h in range(1, n_channels + 1) if n_channels % h == 0]
    heads = int(rng.choice(divisors))
    return (n_rows, n_channels) if rng.random() < 0.5 else (n_rows, heads, n_channels // heads)


def one_to_one(rng: Rng, kind: str, attrs: dict[str, Any], *names: str) -> OperatorCase:
    n, c = random_rows(rng), random_width(rng)
    value = Value("f32", (n, c))
    return OperatorCase(kind, [f32(rng, n, c)], [value], [value], attrs, {name: f32(rng, c) for name in names})


def random_eps(rng: Rng) -> float:
    return float(rng.choice([1e-12, 1e-6, 1e-5]))


def to_bits(rng: Rng, kind: str, type: str, attrs: dict[str, Any], *names: str) -> OperatorCase:
    case = one_to_one(rng, kind, attrs, *names)
    n, c = case.inputs[0].shape
    case.output_values = [Value(type, random_split(rng, n, c))]  # type: ignore[arg-type]
    return case


def queries_and_keys(rng: Rng) -> tuple[list[AnyArray], list[Value], int, int, int, int]:
    n, m = (int(size) for size in rng.choice([1, 2, 5, 16, 17, 26, 66], 2))
    heads, width = random_heads(rng)
    inputs = [bits(rng, n, heads, width), bits(rng, m, heads, width)]
    return inputs, [Value("sign", x.shape) for x in inputs], heads, n, m, width


# Around words, and multiples of what kernels take at a time.
CHANNELS = (1, 2, 3, 8, 12, 16, 24, 36, 64, 72)


def random_grid(rng: Rng) -> tuple[int, int]:
    return int(rng.integers(1, 8)), int(rng.integers(1, 8))


def random_channels(rng: Rng) -> int:
    return int(rng.choice(CHANNELS))


def random_divisor(rng: Rng, n: int) -> int:
    """A random divisor of n."""
    return int(rng.choice([d for d in range(1, n + 1) if n % d == 0]))


def rows_of(rng: Rng, type: str, *shape: int) -> AnyArray:
    return f32(rng, *shape) if type == "f32" else bits(rng, *shape)


def one_value(
    kind: str,
    x: AnyArray,
    type: Any,
    output: tuple[int, ...],
    attrs: dict[str, Any] | None = None,
    tensors: dict[str, AnyArray] | None = None,
) -> OperatorCase:
    """One input, and one output of the same type."""
    return OperatorCase(kind, [x], [Value(type, x.shape)], [Value(type, output)], attrs or {}, tensors or {})


def changed(case: OperatorCase, **changes: Any) -> OperatorCase:
    """Attributes and parameters by name; None removes one."""
    attrs, tensors = dict(case.attrs), dict(case.tensors)
    for name, value in changes.items():
        target = tensors if isinstance(value, np.ndarray) or name in tensors else attrs
        target.pop(name, None)
        if value is not None:
            target[name] = value
    return replace(case, attrs=attrs, tensors=tensors)


def rows_case(kind: str, shape: tuple[int, int], output: tuple[int, int], **changes: Any) -> OperatorCase:
    x = f32(np.random.default_rng(0), *shape)
    return changed(OperatorCase(kind, [x], [Value("f32", shape)], [Value("f32", output)]), **changes)


def int32(*values: int) -> AnyArray:
    return np.array(values, dtype=np.int32)
