"""Errors of the compiled core, spoken in the words of `bitvit.errors` and `bitvit.program`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from bitvit import _core
from bitvit.errors import BitvitError, UsageError
from bitvit.program import errors as program_errors


class EngineError(BitvitError):
    """The engine refuses a request."""


class OutputValueError(BitvitError):
    """A network's output is not finite."""


class IsaError(UsageError):
    """The instruction set asked for does not exist, or this machine does not have it."""


_NAMES: dict[str, type[BitvitError]] = {
    "UnknownIsaError": IsaError,
    "UnavailableIsaError": IsaError,
    "UnknownTypeError": program_errors.OperandError,
    "InputError": program_errors.OperandError,
}


@contextmanager
def core_errors() -> Iterator[None]:
    """Turn an error of the core into the class of the same meaning that users know."""
    try:
        yield
    except _core.EngineError as error:
        name = type(error).__name__
        known: type[BitvitError] = _NAMES[name] if name in _NAMES else getattr(program_errors, name, EngineError)
        raise known(str(error)) from None
