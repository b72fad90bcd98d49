"""From the hub to a local file."""

from __future__ import annotations

from pathlib import Path
from typing import TypeVar

from bitvit.hub.address import FILE_NAME, HubAddress
from bitvit.hub.errors import HubError, explained

__all__ = ["download"]

Found = TypeVar("Found", str, Path)


def download(address: HubAddress) -> Path:
    """Return the local path of a file on the hub, from the hub's cache or downloaded into it.

    Without a file name it is ``model.bitvit``, or else the only ``.bitvit`` file of the repository. With
    ``HF_HUB_OFFLINE`` set only the cache is looked at.

    Raises:
        HubError: there is no such file, access is refused, the hub cannot be reached, or ``huggingface_hub`` is not
            installed.
    """
    with explained(address):
        from huggingface_hub import hf_hub_download
        from huggingface_hub.errors import EntryNotFoundError, LocalEntryNotFoundError

        name = FILE_NAME if address.file is None else address.file
        try:
            return Path(hf_hub_download(address.repository, name, revision=address.revision))
        except LocalEntryNotFoundError:
            if address.file is not None:
                raise
            return _only(address, _cached_files(address))
        except EntryNotFoundError:
            if address.file is not None:
                raise
            return Path(
                hf_hub_download(address.repository, _only(address, _listed_files(address)), revision=address.revision)
            )


def _listed_files(address: HubAddress) -> list[str]:
    from huggingface_hub import HfApi

    return [
        name
        for name in HfApi().list_repo_files(address.repository, revision=address.revision)
        if name.endswith(".bitvit")
    ]


def _cached_files(address: HubAddress) -> list[Path]:
    """Files of the cached snapshot; the hub is not asked."""
    from huggingface_hub import snapshot_download

    folder = snapshot_download(address.repository, revision=address.revision, local_files_only=True)
    return sorted(Path(folder).rglob("*.bitvit"))


def _only(address: HubAddress, found: list[Found]) -> Found:
    if not found:
        raise HubError(f"{address}: the repository has no .bitvit file")
    if len(found) > 1:
        names = ", ".join(sorted(Path(name).name for name in found))
        raise HubError(f"{address}: there are several .bitvit files, name one of them: {names}")
    return found[0]
