"""Addresses of files on the hub: ``hf://user/name``, ``hf://user/name@revision/file.bitvit``."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import PurePath

from bitvit.hub.errors import HubError

__all__ = ["FILE_NAME", "HubAddress", "is_hub_address"]

FILE_NAME = "model.bitvit"
"""What a file is called in its repository if the address does not say."""

# A path object has already lost the second slash: Path("hf://user/name") is "hf:/user/name".
_SCHEME = re.compile(r"hf:/{1,2}(?!/)")
_REPOSITORY = re.compile(r"[\w.-]+/[\w.-]+", re.ASCII)


def is_hub_address(source: str | os.PathLike[str]) -> bool:
    """Whether the text begins with ``hf://``."""
    return _SCHEME.match(_text(source)) is not None


def _text(source: str | os.PathLike[str]) -> str:
    return source.as_posix() if isinstance(source, PurePath) else os.fspath(source)


@dataclass(frozen=True)
class HubAddress:
    """A file on the hub.

    Attributes:
        repository: ``user/name``.
        file: path in the repository; None for its only ``.bitvit`` file.
        revision: branch, tag or commit; None for the main branch.
    """

    repository: str
    file: str | None = None
    revision: str | None = None

    @classmethod
    def parse(cls, source: str | os.PathLike[str]) -> HubAddress:
        """Read ``hf://user/name[@revision][/file]``, or the same without ``hf://``.

        In a revision with slashes, such as ``refs/pr/1``, these are written ``%2F``, as in the hub's own addresses.

        Raises:
            HubError: it is no such address.
        """
        text = _SCHEME.sub("hf://", _text(source), count=1)
        rest = text.removeprefix("hf://")
        user, _, rest = rest.partition("/")
        name, _, file = rest.partition("/")
        name, at, revision = name.partition("@")
        repository = f"{user}/{name}"
        if user in ("datasets", "spaces", "buckets", "kernels"):
            raise HubError(f"{text}: only repositories of models hold .bitvit files")
        if not _REPOSITORY.fullmatch(repository) or (at and not revision) or ".." in file.split("/"):
            raise HubError(f"{text}: expected hf://user/name, hf://user/name/file.bitvit or hf://user/name@revision")
        return cls(repository, file or None, revision.replace("%2F", "/").replace("%2f", "/") or None)

    def __str__(self) -> str:
        revision = "" if self.revision is None else "@" + self.revision.replace("/", "%2F")
        return f"hf://{self.repository}{revision}" + ("" if self.file is None else f"/{self.file}")
