"""Where a ``.bitvit`` file is: a path, an address on the hub, or the name of a file that comes with bitvit."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

from bitvit.trained import trained_model

__all__ = ["hub_file", "local_file"]


def local_file(source: str | os.PathLike[str], or_folder: bool = False) -> Path:
    """Return the path of the file that is meant.

    Args:
        source: a path; ``hf://user/name`` (see `bitvit.hub.HubAddress.parse`), which is downloaded into the hub's
            cache; or the name of a file that comes with bitvit (`bitvit.trained`). A local file of that name comes
            first.
        or_folder: a local folder of that name comes first as well, where the folder of a run may be meant.

    Returns:
        The path. Whether there is such a file is for its reader to find out.

    Raises:
        HubError: the hub has no such file, refuses access, or cannot be reached.
    """
    if not os.fspath(source).startswith("hf:"):
        trained = trained_model(os.fspath(source))
        is_local = os.path.isfile(source) or (or_folder and os.path.isdir(source))
        return Path(source) if trained is None or is_local else trained.path
    from bitvit.hub import is_hub_address

    return hub_file(source) if is_hub_address(source) else Path(source)


def hub_file(source: str | os.PathLike[str], revision: str | None = None) -> Path:
    """Return the path of a file on the hub, named ``hf://user/name`` or ``user/name``, in the hub's cache.

    Args:
        source: its address.
        revision: branch, tag or commit; that of the address by default.

    Raises:
        HubError: the hub has no such file, refuses access, or cannot be reached.
    """
    from bitvit.hub import HubAddress, download

    address = HubAddress.parse(source)
    return download(address if revision is None else replace(address, revision=revision))
