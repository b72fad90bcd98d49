"""Runs the tests of the engine with an engine elsewhere: under an emulator, in Node.

A plugin: ``BITVIT_TEST_ENGINE="qemu-aarch64 -cpu cortex-a53 .../engine_server" pytest -p tests.support.remote_engine
tests/parity/...``. Python checks and interprets here; every run of an engine goes to the other process
(`tests/cpp/engine_server.cc`), on each instruction set that it has.
"""

from __future__ import annotations

import atexit
import os
import shlex
import subprocess
import threading
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from bitvit import _core
from bitvit.program import Value, stored_shape
from bitvit.program.metadata import dump, program_from_json, program_to_json
from bitvit.program.schema import AnyArray, Op, Program
from bitvit.program.writer import container

_TYPES = {"f32": np.dtype("<f4"), "i32": np.dtype("<i4")}  # the others are bytes

_real = {name: getattr(_core, name) for name in ("ProgramBuilder", "check_program", "read_model")}


class _Server:
    """The other process, started when it is first needed."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._lock = threading.Lock()

    def ask(self, request: bytes) -> bytes:
        with self._lock:  # one request after the other, whatever thread they come from
            return self._ask(request)

    def _ask(self, request: bytes) -> bytes:
        if self._process is None:
            command = shlex.split(os.environ["BITVIT_TEST_ENGINE"])
            self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
            atexit.register(self._process.kill)
        pipe, answers = self._process.stdin, self._process.stdout
        assert pipe is not None and answers is not None
        pipe.write(len(request).to_bytes(8, "little") + request)
        pipe.flush()
        size = answers.read(8)
        assert len(size) == 8, "the other engine ended"
        answer = answers.read(int.from_bytes(size, "little"))
        assert answer[0] == 0, answer[1:].decode(errors="replace")
        return answer[1:]


_server = _Server()
_isas: list[str] = []


def _available_isas() -> list[str]:
    if not _isas:
        _isas.extend(_server.ask(b"isas").decode().split())
    return _isas


def _local_isa(isa: str) -> str:
    """What stands here for an instruction set of the other machine; an unknown one is refused here."""
    return "portable" if isa in _available_isas() else isa


class _Engine:
    """What `_core.Engine` offers: runs elsewhere; all else, such as how much memory it needs, here."""

    def __init__(
        self, local: Any, program: Program, tensors: Mapping[str, AnyArray], inputs: Sequence[str],
        outputs: Sequence[str], isa: str,
    ) -> None:  # fmt: skip
        self.isa = isa or _available_isas()[-1]
        self._local = local
        self._program, self._tensors = program, tensors
        self._inputs, self._outputs = list(inputs), list(outputs)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._local, name)

    def run(self, inputs: Sequence[AnyArray], batch: int = 1) -> list[AnyArray]:
        batch = len(inputs[0]) if inputs else batch
        fields = {
            "format": "bitvit",
            "program": dump(program_to_json(self._program)),
            "inputs": " ".join(self._inputs),
            "outputs": " ".join(self._outputs),
            "threads": str(self.threads),
            "isa": self.isa,
            "batch": str(batch),
        }
        arrays = {f"input {i}": np.ascontiguousarray(array).reshape(-1) for i, array in enumerate(inputs)}
        # A container holds no empty tensor, and there is nothing to run.
        answer = _server.ask(container(fields, {**self._tensors, **arrays})) if batch else b""
        results, place = [], 0
        for name in self._outputs:
            value = self._program.values[name]
            shape = (batch, *stored_shape(value.type, value.shape))
            dtype = _TYPES.get(value.type, np.dtype("u1"))
            n_bytes = int(np.prod(shape)) * dtype.itemsize
            results.append(np.frombuffer(answer[place : place + n_bytes], dtype).reshape(shape).copy())  # writable
            place += n_bytes
        assert place == len(answer)
        return results


class _Builder:
    """`_core.ProgramBuilder`, whose checks are made here."""

    def __init__(self) -> None:
        self._local = _real["ProgramBuilder"]()
        self._values: list[Value] = []
        self._ops: list[Op] = []
        self._tensors: dict[str, AnyArray] = {}

    def value(self, type: Any, shape: Sequence[int]) -> int:
        number: int = self._local.value(type, shape)
        self._values.append(Value(type, tuple(shape)))
        return number

    def op(self, kind: str, inputs: Sequence[int], outputs: Sequence[int], attrs: Mapping[str, Any],
           tensors: Mapping[str, AnyArray]) -> None:  # fmt: skip
        self._local.op(kind, inputs, outputs, attrs, tensors)
        names = {parameter: f"{len(self._ops)}.{parameter}" for parameter in tensors}
        self._tensors.update({names[parameter]: array for parameter, array in tensors.items()})
        values = [tuple(f"v{i}" for i in numbers) for numbers in (inputs, outputs)]
        self._ops.append(Op(kind, values[0], values[1], dict(attrs), names))

    def build(self, inputs: Sequence[int], outputs: Sequence[int], threads: int = 1, isa: str = "") -> _Engine:
        local = self._local.build(inputs, outputs, threads, _local_isa(isa))
        values = {f"v{i}": value for i, value in enumerate(self._values)}
        program = Program(values, self._ops, "v0", "v0")
        names = [[f"v{i}" for i in numbers] for numbers in (inputs, outputs)]
        return _Engine(local, program, self._tensors, names[0], names[1], isa)


class _Model:
    """`_core.Model`, whose engines are elsewhere."""

    def __init__(self, local: Any, program: Program) -> None:
        self._local, self._program = local, program

    def __getattr__(self, name: str) -> Any:
        return getattr(self._local, name)

    def engine(self, outputs: Sequence[str] = (), threads: int = 1, isa: str = "") -> _Engine:
        local = self._local.engine(list(outputs), threads, _local_isa(isa))
        outputs = list(outputs) or [self._program.output]
        return _Engine(local, self._program, self._local.tensors(), [self._program.input], outputs, isa)


def _check_program(program: Program, tensors: Mapping[str, AnyArray]) -> _Model:
    return _Model(_real["check_program"](program, tensors), program)


def _read_model(data: bytes) -> _Model:
    local = _real["read_model"](data)
    return _Model(local, program_from_json(local.metadata()["program"]))


for _name, _replacement in {
    "ProgramBuilder": _Builder,
    "check_program": _check_program,
    "read_model": _read_model,
    "available_isas": _available_isas,
}.items():
    setattr(_core, _name, _replacement)
