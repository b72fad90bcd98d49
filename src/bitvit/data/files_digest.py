"""What tells a folder of images from others, wherever it lies."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from bitvit.data.shards import find_shards
from bitvit.image_files import find_images

__all__ = ["files_digest"]


def files_digest(folder: Path) -> str:
    """Return a digest of the names and sizes of a folder's images and shards.

    Raises:
        BitvitError: it cannot be read.
    """
    digest = hashlib.sha256()
    for path in (*find_images(folder).paths, *find_shards(folder)):
        name = os.fsencode(path.relative_to(folder))
        digest.update(name + b"\0" + str(path.stat().st_size).encode() + b"\0")
    return digest.hexdigest()[:16]
