"""The binary operators of packed networks, one at a time: against the machine's limits and against NumPy's float32."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from bitvit import _core
from bitvit.bench.roofline import peak_fraction
from bitvit.complexity.file_costs import operator_costs
from bitvit.program import BitvitFile, Op, Value, to_stored


@dataclass(frozen=True)
class BinaryOperator:
    """A binary operator as it stands in a Program.

    Attributes:
        op: name of the operator.
        inputs: its input values.
        outputs: its output values.
        tensors: its parameters by name.
        bops: binary multiply-adds.
        count: how often it stands there.
    """

    op: Op
    inputs: tuple[Value, ...]
    outputs: tuple[Value, ...]
    tensors: dict[str, npt.NDArray[Any]]
    bops: int
    count: int = 1

    @property
    def shape(self) -> str:
        """Types and shapes of the inputs and of the first output."""
        values = [f"{value.type}{list(value.shape)}" for value in (*self.inputs, self.outputs[0])]
        return f"{', '.join(values[:-1])} -> {values[-1]}"


def binary_operators(file: BitvitFile) -> list[BinaryOperator]:
    """Return the operators of a Program with binary multiply-adds, one of each kind and shape."""
    values = file.program.values
    found: dict[tuple[object, ...], BinaryOperator] = {}
    for op, cost in zip(file.program.ops, operator_costs(file), strict=True):
        if not cost.bops:
            continue
        inputs, outputs = (tuple(values[name] for name in names) for names in (op.inputs, op.outputs))
        key = (op.op, repr(sorted(op.attrs.items())), inputs, outputs)
        tensors = {name: np.ascontiguousarray(file.tensors[tensor]) for name, tensor in op.tensors.items()}
        known = found.get(key)
        found[key] = BinaryOperator(
            op, inputs, outputs, tensors, cost.bops, 1 if known is None else known.count + 1
        )  # fmt: skip
    return list(found.values())


def measure_operators(operators: Iterable[BinaryOperator], isas: Sequence[str], runs: int = 50) -> list[dict[str, Any]]:
    """Time operators on one thread; instruction sets, NumPy and the two peaks take turns, and the best of each counts.

    Returns:
        For each operator `op`, `shape`, `count`, `bops`, `numpy_ms` (the float32 product of its shape), and `isas`:
        name -> `ms`, `rate` (binary multiply-adds per second), `register_peak`, `popcount_peak`, `of_register_peak` and
        `of_popcount_peak`.
    """
    return [_measure(operator, isas, runs) for operator in operators]


def _measure(operator: BinaryOperator, isas: Sequence[str], runs: int) -> dict[str, Any]:
    rng = np.random.default_rng(0)
    inputs = [_random(value, rng)[None] for value in operator.inputs]
    engines = {isa: _engine(operator, isa) for isa in isas}
    product = _float_product(operator, rng)
    best = dict.fromkeys((*isas, "numpy"), float("inf"))
    peaks = {isa: [0.0, 0.0] for isa in isas}
    for turn in range(runs):
        for isa, engine in engines.items():
            best[isa] = min(best[isa], sum(engine.profile(inputs, 1)[0]))
        start = time.perf_counter()
        product()
        best["numpy"] = min(best["numpy"], time.perf_counter() - start)
        if turn in (0, runs - 1):
            for isa in isas:
                found = (_core.register_peak(isa), _core.popcount_peak(isa))
                peaks[isa] = [max(pair) for pair in zip(peaks[isa], found, strict=True)]
    rows = {}
    for isa in isas:
        milliseconds = 1e3 * best[isa]
        register, popcount = peaks[isa]
        rows[isa] = {
            "ms": milliseconds,
            "rate": operator.bops / best[isa],
            "register_peak": register,
            "popcount_peak": popcount,
            "of_register_peak": peak_fraction(operator.bops, milliseconds, register),
            "of_popcount_peak": peak_fraction(operator.bops, milliseconds, popcount),
        }
    return {
        "op": operator.op.op,
        "shape": operator.shape,
        "count": operator.count,
        "bops": operator.bops,
        "numpy_ms": 1e3 * best["numpy"],
        "isas": rows,
    }


def _random(value: Value, rng: np.random.Generator) -> npt.NDArray[Any]:
    if value.type == "f32":
        array: npt.NDArray[Any] = rng.standard_normal(value.shape).astype(np.float32)
    elif value.type == "ternary":
        array = rng.integers(-1, 2, value.shape).astype(np.int8)
    else:
        array = rng.random(value.shape) < 0.5
    return np.ascontiguousarray(to_stored(value.type, array))


def _engine(operator: BinaryOperator, isa: str) -> _core.Engine:
    builder = _core.ProgramBuilder()
    inputs = [builder.value(value.type, value.shape) for value in operator.inputs]
    outputs = [builder.value(value.type, value.shape) for value in operator.outputs]
    builder.op(operator.op.op, inputs, outputs, dict(operator.op.attrs), operator.tensors)
    return builder.build(inputs, outputs, 1, isa)


def _float_product(operator: BinaryOperator, rng: np.random.Generator) -> Callable[[], object]:
    """Return NumPy's float32 product of the same shape; what leads up to it (windows of a convolution) is left out.

    Which product it is follows from the shapes: of masks and values, of queries and keys, of windows and kernels, or of
    rows and weights. Attention of several binary planes is one product in float.
    """

    def matrices(*shape: int) -> npt.NDArray[np.float32]:
        return rng.standard_normal(shape).astype(np.float32)

    shapes, output = [value.shape for value in operator.inputs], operator.outputs[0].shape
    if len(shapes[0]) == 4:
        _, heads, n, m = shapes[0]
        a, b = matrices(heads, n, m), matrices(heads, m, shapes[1][2])
    elif len(shapes) == 2:
        (n, heads, width), m = shapes[0], shapes[1][0]
        a, b = matrices(heads, n, width), matrices(heads, width, m)
    elif "kernel" in operator.op.attrs:
        groups = int(operator.op.attrs["groups"])
        inputs = int(operator.op.attrs["kernel"]) ** 2 * shapes[0][1] // groups
        a, b = matrices(groups, shapes[0][0], inputs), matrices(groups, inputs, output[1] // groups)
    else:
        n, inputs = shapes[0][0], int(np.prod(shapes[0][1:]))
        a, b = matrices(n, inputs), matrices(inputs, operator.bops // (n * inputs))
    return lambda: a @ b
