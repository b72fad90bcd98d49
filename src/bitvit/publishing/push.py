"""Uploading a ``.bitvit`` file with its card."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from bitvit.hub import FILE_NAME, HubAddress, HubError, explained
from bitvit.program import read_file
from bitvit.publishing.card import MARK, model_card

__all__ = ["Pushed", "push"]


@dataclass(frozen=True)
class Pushed:
    """What became of an upload.

    Attributes:
        address: what `bitvit.load` takes, ``hf://user/name``.
        url: the commit's page.
        has_new_card: False if the repository has a card that somebody wrote, which was kept.
        license: what the card says.
    """

    address: str
    url: str
    has_new_card: bool
    license: str | None


def push(
    path: str | os.PathLike[str],
    repository: str,
    *,
    private: bool | None = None,
    license: str | None = None,
    revision: str | None = None,
    message: str | None = None,
    replace_card: bool = False,
) -> Pushed:
    """Upload a file to the hub as ``model.bitvit`` with a model card, in one commit.

    The repository is made if there is none. A card that was not written by this function is kept.

    Args:
        path: the ``.bitvit`` file.
        repository: ``user/name``.
        private: make a new repository private; by default the account's setting decides.
        license: identifier of the licence for the card, such as ``apache-2.0``.
        revision: branch to commit to; the main branch by default.
        message: of the commit.
        replace_card: write the card even over one that somebody wrote.

    Raises:
        ProgramError: the file is no sound ``.bitvit`` file; nothing is uploaded.
        HubError: the hub refuses, or cannot be reached.
    """
    address = HubAddress.parse(repository)
    if address.file is not None or address.revision is not None:
        raise HubError(f"{repository}: expected user/name")
    name = address.repository
    file = read_file(path)
    content = Path(path).read_bytes()
    license = license or (str(file.provenance["license"]) if file.provenance.get("license") else None)
    card = model_card(file, len(content), name, license)
    with explained(address):
        from huggingface_hub import CommitOperationAdd, HfApi

        api = HfApi(library_name="bitvit")
        api.create_repo(name, private=private, exist_ok=True)
        has_new_card = replace_card or _may_replace_card(name, revision)
        files = {FILE_NAME: content, **({"README.md": card.encode()} if has_new_card else {})}
        commit = api.create_commit(
            name,
            [CommitOperationAdd(path_in_repo=target, path_or_fileobj=data) for target, data in files.items()],
            commit_message=message or f"Upload {Path(path).name} with bitvit",
            revision=revision,
        )
    return Pushed(str(HubAddress(name, revision=revision)), str(commit.commit_url), has_new_card, license)


def _may_replace_card(repository: str, revision: str | None) -> bool:
    """Whether there is no card yet, or one that was written here, or the empty one of a new repository."""
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import EntryNotFoundError

    try:
        text = Path(hf_hub_download(repository, "README.md", revision=revision)).read_text(encoding="utf-8")
    except EntryNotFoundError:
        return True
    body = text.partition("---\n")[2].partition("---\n")[2] if text.startswith("---\n") else text
    return MARK in text or not body.strip()
