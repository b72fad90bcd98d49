"""Errors of the importer of the authors' checkpoints."""

from collections.abc import Iterable

from bitvit.errors import BitvitError


class CheckpointImportError(BitvitError):
    """A checkpoint of the authors' releases cannot be read as one of their models."""


class KeyMismatchError(CheckpointImportError):
    """A checkpoint lacks tensors of its architecture, or has tensors that no part of it uses, or of other shapes.

    Attributes:
        missing: the authors' names of tensors that are not there.
        unexpected: names of tensors that nothing uses.
        mismatched: one sentence for each tensor of the wrong shape.
    """

    def __init__(self, what: str, missing: Iterable[str], unexpected: Iterable[str], mismatched: Iterable[str]) -> None:
        self.missing = sorted(missing)
        self.unexpected = sorted(unexpected)
        self.mismatched = sorted(mismatched)
        parts = [
            _listed("missing", self.missing),
            _listed("unexpected", self.unexpected),
            _listed("wrong shape", self.mismatched),
        ]
        super().__init__(
            f"the checkpoint does not fit {what}: "
            + "; ".join(part for part in parts if part)
            + " (check the family and the config)"
        )


def _listed(title: str, names: list[str]) -> str:
    if not names:
        return ""
    return f"{title} ({len(names)}): " + ", ".join(names)
