"""Operators that the engine runs together, a few rows at a time, give the interpreter's values to the bit."""

from __future__ import annotations

from typing import Literal

import numpy as np
import pytest

from bitvit.program import Interpreter, Value, pack_bits, to_stored
from bitvit.program.schema import AnyArray
from bitvit.runtime import Engine, available_isas
from tests.support.engine_comparison import assert_same_bits
from tests.support.operator_cases import bits, f32, weight_bits
from tests.support.random_programs import ProgramBuilder

GRIDS = [(4, 4), (5, 7), (9, 11), (16, 20)]
CHANNELS = (8, 20, 33, 64, 64, 128)  # multiples of 64: element-wise operators run on registers


class RandomRows:
    """A Program on a grid that mixes operators on rows with those that need all rows of a value, in random order."""

    def __init__(self, seed: int) -> None:
        self.rng = np.random.default_rng(seed)
        self.grid = GRIDS[seed % len(GRIDS)]
        self.n, self.channels = self.grid[0] * self.grid[1], int(self.rng.choice(CHANNELS))
        self.builder = ProgramBuilder(self.rng, (self.grid[0] * 2, self.grid[1] * 2))
        self.images = self.rng.integers(0, 256, (5, self.grid[0] * 2, self.grid[1] * 2, 3), dtype=np.uint8)
        tensors: dict[str, AnyArray] = {
            "weight": self.rng.integers(-128, 128, (self.channels, 2, 2, 3), dtype=np.int8),
            "scale": f32(self.rng, self.channels, 3) / np.float32(500),
            "bias": f32(self.rng, self.channels),
        }
        self.rows = [self.builder.op("patch_conv_u8", ["image"], self._value(), attrs={"patch": 2}, tensors=tensors)]
        steps = (self._add, self._affine, self._rprelu, self._stencil, self._linear, self._conv, self._mlp, self._norm)
        steps += (self._add, self._add_constant)
        for _ in range(int(self.rng.integers(5, 25))):
            steps[int(self.rng.integers(len(steps)))]()
        self._head()

    def _value(self, channels: int | None = None) -> Value:
        return Value("f32", (self.n, channels or self.channels))

    def _pick(self) -> str:
        """A value so far, mostly a late one."""
        return self.rows[-1 - min(int(self.rng.geometric(0.5)) - 1, len(self.rows) - 1)]

    def _vector(self, width: int | None = None) -> AnyArray:
        return f32(self.rng, width or self.channels) / np.float32(2)

    def _append(self, kind: str, inputs: list[str], **arguments: object) -> None:
        self.rows.append(self.builder.op(kind, inputs, self._value(), **arguments))  # type: ignore[arg-type]

    def _add(self) -> None:
        self._append("add", [self._pick(), self._pick()])

    def _add_constant(self) -> None:
        shape = (self.n, self.channels) if self.rng.integers(2) else (self.channels,)
        self._append("add_constant", [self._pick()], tensors={"value": f32(self.rng, *shape)})

    def _affine(self) -> None:
        self._append("affine", [self._pick()], tensors={"scale": self._vector(), "bias": self._vector()})

    def _norm(self) -> None:
        tensors = {"weight": self._vector(), "bias": self._vector()}
        self._append("layer_norm", [self._pick()], attrs={"eps": 1e-5}, tensors=tensors)

    def _rprelu(self) -> None:
        tensors = {name: self._vector() for name in ("before", "slope", "after")}
        self._append("rprelu", [self._pick()], tensors=tensors)

    def _stencil(self) -> None:
        groups = [self.rng.integers(-2, 3, (3, 2)).tolist()]
        attrs = {"grid": list(self.grid), "groups": groups, "wrap": bool(self.rng.integers(2)), "divisor": 3}
        self._append("stencil", [self._pick()], attrs=attrs)

    def _bits(self, kind: Literal["sign", "mask"], name: str, channels: int) -> str:
        output = Value(kind, (self.n, channels))
        return self.builder.op(kind, [name], output, tensors={"threshold": self._vector(channels)})

    def _product(self, name: str, n_inputs: int, n_outputs: int) -> str:
        tensors = {
            "weight": weight_bits(self.rng, n_outputs, n_inputs),
            "scale": f32(self.rng, n_outputs) / np.float32(n_inputs),
            "bias": f32(self.rng, n_outputs),
        }
        kind: Literal["sign", "mask"] = "mask" if self.rng.integers(4) == 0 else "sign"
        x = self._bits(kind, name, n_inputs)
        return self.builder.op("binary_linear", [x], self._value(n_outputs), tensors=tensors)

    def _linear(self) -> None:
        self.rows.append(self._product(self._pick(), self.channels, self.channels))

    def _mlp(self) -> None:
        x, times = self._pick(), 4
        hidden = self._product(x, self.channels, times * self.channels)
        repeated = self.builder.op("repeat_channels", [x], self._value(times * self.channels), attrs={"times": times})
        total = self.builder.op("add", [hidden, repeated], self._value(times * self.channels))
        y = self._product(total, times * self.channels, self.channels)
        mean = self.builder.op("mean_channels", [total], self._value(), attrs={"group": times})
        self._append("add", [y, mean])

    def _conv(self) -> None:
        x = self._bits("sign", self._pick(), self.channels)
        tensors = {
            "weight": pack_bits(bits(self.rng, self.channels, 9, self.channels)),
            "scale": f32(self.rng, self.channels) / np.float32(self.channels),
            "bias": f32(self.rng, self.channels),
        }
        attrs = {"grid": list(self.grid), "kernel": 3, "dilation": 2, "groups": 1}
        self._append("binary_conv", [x], attrs=attrs, tensors=tensors)

    def _head(self) -> None:
        mean = self.builder.op("mean_rows", [self.rows[-1]], Value("f32", (1, self.channels)))
        tensors = {"weight": f32(self.rng, 6, self.channels), "bias": f32(self.rng, 6)}
        output = self.builder.op("linear_f32", [mean], Value("f32", (1, 6)), tensors=tensors)
        self.builder.program.output = output


@pytest.mark.parametrize("seed", range(24))
def test_logits_equal_the_interpreter(seed: int) -> None:
    case = RandomRows(seed)
    program, tensors = case.builder.program, case.builder.tensors
    expected = Interpreter(program, tensors).run(case.images)
    for isa in available_isas():
        for threads in (1, 2, 3):
            engine = Engine(program, tensors, threads=threads, isa=isa)
            for batch in (5, 1):
                found = engine.run(case.images[:batch])
                assert_same_bits(found, expected[:batch], f"seed {seed}, {isa}, {threads} threads, batch {batch}")


@pytest.mark.parametrize("seed", range(8))
def test_values_inside_groups_can_be_asked_for(seed: int) -> None:
    case = RandomRows(seed)
    program, tensors = case.builder.program, case.builder.tensors
    expected = Interpreter(program, tensors).values(case.images[0])
    names = [name for name in program.values if name != program.input]
    some = [name for name in names if case.rng.random() < 0.2] or names[-1:]
    for asked in (some, names):
        found = Engine(program, tensors, threads=2).values(case.images[:1], asked)
        for name in asked:
            array = to_stored(program.values[name].type, expected[name])
            assert_same_bits(found[name][0], array, f"seed {seed}, value {name} of {len(asked)}")


def test_groups_save_memory() -> None:
    """What passes between the operators of a group takes no room for all rows."""
    rng = np.random.default_rng(0)
    builder = ProgramBuilder(rng, (64, 64))
    x = builder.op(
        "patch_conv_u8",
        ["image"],
        Value("f32", (1024, 64)),
        attrs={"patch": 2},
        tensors={
            "weight": rng.integers(-128, 128, (64, 2, 2, 3), dtype=np.int8),
            "scale": f32(rng, 64, 3),
            "bias": f32(rng, 64),
        },
    )
    wide = builder.op("repeat_channels", [x], Value("f32", (1024, 1024)), attrs={"times": 16})
    narrow = builder.op("mean_channels", [wide], Value("f32", (1024, 64)), attrs={"group": 16})
    builder.program.output = builder.op("mean_rows", [narrow], Value("f32", (1, 64)))
    engine = Engine(builder.program, builder.tensors, threads=1)
    assert engine.arena_bytes < 1024 * 1024 * 4 / 2, "the wide value alone would take 4 MiB"
    images = rng.integers(0, 256, (2, 64, 64, 3), dtype=np.uint8)
    np.testing.assert_array_equal(engine.run(images), Interpreter(builder.program, builder.tensors).run(images))
