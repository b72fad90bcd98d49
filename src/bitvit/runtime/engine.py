"""The C++ engine's Python face: a whole Program, and single operators."""

from __future__ import annotations

import hashlib
import json
import os
import warnings
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from functools import cached_property
from threading import Lock
from typing import Any

import numpy as np
import numpy.typing as npt

from bitvit import _core
from bitvit.errors import UsageError
from bitvit.program.metadata import program_from_json
from bitvit.program.schema import AnyArray, Program, Value
from bitvit.program.validation import checked
from bitvit.runtime.errors import IsaError

__all__ = ["Engine", "IsaError", "available_isas", "default_threads", "run_op"]

_CACHED_OPERATORS = 512


def available_isas() -> list[str]:
    """Instruction sets that this machine can run, slowest first: of `portable`, `avx2`, `avx512`."""
    return _core.available_isas()


def default_threads() -> int:
    """One thread for each processor that this process can use.

    Counted are the processors that it may run on (its affinity), and no more than a container's CPU quota pays for
    (control groups, version 1 and 2). ``BITVIT_PROCESSORS`` in the environment overrides it.
    """
    return _core.usable_processors()


def _selected_isa(isa: str | None) -> str:
    return isa if isa is not None else os.environ.get("BITVIT_ISA", "")


def _checked_threads(threads: int | None) -> int:
    if threads is not None and threads < 1:
        raise UsageError(f"{threads} threads; at least 1 is needed")
    return min(default_threads(), 256) if threads is None else threads


def _note_missing_threads(wanted: int) -> None:
    found = _core.threads()
    useful = min(wanted, found["processors"])
    if found["refused"] and found["helpers"] + 1 < useful:
        message = (
            f"only {found['helpers'] + 1} of {useful} threads could be started; the operating system gives no more"
        )
        warnings.warn(message, RuntimeWarning, stacklevel=3)


class Engine:
    """A Program, made ready for this machine.

    Its results are those of `bitvit.program.Interpreter` to the bit, for every instruction set, number of threads and
    batch size.

    Any number of threads may call one engine at once; each call has a workspace of its own (`workspace_bytes`,
    `most_workspaces`). Calls release Python's global lock. Ctrl-C ends a run between two images or tiles. A child of
    `os.fork` may go on using it. ``threads`` is the most that share the work of a call: no more work than there are
    processors, and a thread that finds no processor free is done without.
    """

    def __init__(
        self, program: Program, tensors: Mapping[str, AnyArray], threads: int | None = None, isa: str | None = None
    ) -> None:
        """Lay out the weights for this machine's kernels.

        Args:
            program: what to run.
            tensors: parameters by the names that the Program uses.
            threads: as many as processors by default.
            isa: one of `available_isas()`; by default that of the environment variable ``BITVIT_ISA``, or the fastest.

        Raises:
            ProgramError: the Program or a tensor violates a rule of ``docs/format.md``.
            IsaError: this machine does not have the instruction set.
        """
        self._start(checked(program, tensors), threads, isa)
        self.program = program

    @classmethod
    def of_model(cls, model: _core.Model, threads: int | None = None, isa: str | None = None) -> Engine:
        """The network of a file that has been read (`bitvit.program.open_model`); see `Engine` for the arguments.

        Raises:
            IsaError: this machine does not have the instruction set.
        """
        engine = cls.__new__(cls)
        engine._start(model, threads, isa)
        return engine

    def _start(self, model: _core.Model, threads: int | None, isa: str | None) -> None:
        self._model = model
        self._threads = _checked_threads(threads)
        self._isa = _selected_isa(isa)
        self._core = model.engine([], self._threads, self._isa)
        _note_missing_threads(self._threads)

    def content(self) -> bytes:
        """The content of a ``.bitvit`` file with this network, for an engine of `of_model`."""
        # Not needed to predict.
        from bitvit.program.reader import decode
        from bitvit.program.writer import to_bytes

        return to_bytes(decode(self._model))

    @cached_property
    def program(self) -> Program:
        """What runs."""
        return program_from_json(self._model.metadata()["program"])

    @property
    def isa(self) -> str:
        """The instruction set in use."""
        return self._core.isa

    @property
    def threads(self) -> int:
        """How many threads share the work."""
        return self._core.threads

    @property
    def arena_bytes(self) -> int:
        """Memory for the intermediate values of one image."""
        return self._core.arena_bytes

    @property
    def workspace_bytes(self) -> int:
        """All memory of one call: intermediate values, and what each thread needs for itself."""
        return self._core.workspace_bytes

    @property
    def most_workspaces(self) -> int:
        """How many calls can run at once: two for each processor, fewer where they would need more than 512 MiB.

        Further calls wait until one has ended.
        """
        return self._core.most_workspaces

    @property
    def workspaces(self) -> int:
        """How many workspaces have been made so far: as many as calls have run at once. They are kept."""
        return self._core.workspaces

    def run(self, images: npt.NDArray[np.uint8]) -> AnyArray:
        """The Program's output for a batch of any size.

        uint8 [B, H, W, C] -> logits float32 [B, classes]; for segmentation float32 [B, cells, classes], or class
        numbers int32 [B, cells].
        """
        (output,) = self._core.run([np.ascontiguousarray(images)])
        if output.ndim == 3 and output.shape[1] == 1:
            output = output.reshape(len(output), output.shape[2])
        return output

    def values(self, images: npt.NDArray[np.uint8], names: Sequence[str]) -> dict[str, AnyArray]:
        """Intermediate values by name, each in its stored form (``docs/format.md``) with the batch in front."""
        if not names:
            return {}
        engine = self._model.engine(list(names), self._threads, self._isa)
        return dict(zip(names, engine.run([np.ascontiguousarray(images)]), strict=True))

    def profile(self, images: npt.NDArray[np.uint8], runs: int = 10) -> list[dict[str, Any]]:
        """Time of each operator of the Program in milliseconds per image, of all runs after one to warm up.

        `milliseconds` is the median; `fastest_milliseconds` the minimum, which says most about the operator where
        others use the machine too.
        """
        batch = [np.ascontiguousarray(images)]
        self._core.run(batch)
        seconds = np.array(self._core.profile(batch, runs))
        medians, minima = (1e3 / len(images) * f(seconds, axis=0) for f in (np.median, np.min))
        return [
            {
                "op": op.op,
                "outputs": list(op.outputs),
                "milliseconds": float(median),
                "fastest_milliseconds": float(least),
            }
            for op, median, least in zip(self.program.ops, medians, minima, strict=True)
        ]


_operators: OrderedDict[bytes, _core.Engine] = OrderedDict()
_operators_lock = Lock()


def run_op(
    op: str,
    inputs: Sequence[AnyArray],
    attrs: Mapping[str, Any],
    tensors: Mapping[str, AnyArray],
    input_values: Sequence[Value],
    output_values: Sequence[Value],
) -> list[AnyArray]:
    """Run one operator of ``docs/format.md`` on a batch.

    Args:
        op: its kind.
        inputs: its inputs in their stored form, with the batch in front.
        attrs: its attributes.
        tensors: its parameters by parameter name.
        input_values: types and shapes of the inputs, without the batch.
        output_values: the same of the outputs.

    Returns:
        The outputs in their stored form, with the batch in front.

    Raises:
        ProgramError: the operator violates a rule of ``docs/format.md``.
    """
    key = _operator_key(op, attrs, tensors, input_values, output_values)
    with _operators_lock:
        engine = _operators.get(key)
        if engine is None:
            engine = _build_operator(op, attrs, tensors, input_values, output_values)
            _operators[key] = engine
            if len(_operators) > _CACHED_OPERATORS:
                _operators.popitem(last=False)
        else:
            _operators.move_to_end(key)
    return engine.run([np.ascontiguousarray(array) for array in inputs])


def _operator_key(
    op: str,
    attrs: Mapping[str, Any],
    tensors: Mapping[str, AnyArray],
    input_values: Sequence[Value],
    output_values: Sequence[Value],
) -> bytes:
    """Digest of all that determines the operator, contents of its parameters included: they may change in place."""
    digest = hashlib.blake2b(digest_size=16)
    values = [[value.type, *value.shape] for value in (*input_values, *output_values)]
    description = [op, dict(attrs), len(input_values), values, _selected_isa(None)]
    digest.update(json.dumps(description, sort_keys=True, default=str).encode())
    for name in sorted(tensors):
        tensor = np.ascontiguousarray(tensors[name])
        digest.update(f"{name}\0{tensor.dtype.str}\0{tensor.shape}\0".encode())
        digest.update(tensor.tobytes())
    return digest.digest()


def _build_operator(
    op: str,
    attrs: Mapping[str, Any],
    tensors: Mapping[str, AnyArray],
    input_values: Sequence[Value],
    output_values: Sequence[Value],
) -> _core.Engine:
    builder = _core.ProgramBuilder()
    inputs = [builder.value(value.type, value.shape) for value in input_values]
    outputs = [builder.value(value.type, value.shape) for value in output_values]
    parameters = {name: np.ascontiguousarray(tensor) for name, tensor in tensors.items()}
    builder.op(op, inputs, outputs, dict(attrs), parameters)
    return builder.build(inputs, outputs, min(default_threads(), 256), _selected_isa(None))
