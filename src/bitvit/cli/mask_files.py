"""`bitvit predict --out FOLDER`: masks of photos as indexed PNG, and overlays."""

from __future__ import annotations

import io
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from bitvit.cli.prediction_images import PredictedImage
from bitvit.errors import OutputError, UsageError
from bitvit.files import write_atomically
from bitvit.text import printable

if TYPE_CHECKING:
    from PIL import Image

    from bitvit.runtime.segmentation import Segmentation

__all__ = ["OVERLAYS", "MaskFiles"]

OVERLAYS = "overlays"
"""Subfolder of overlays, where no other folder is named: a folder of masks holds nothing but masks."""


class MaskFiles:
    """Writes one file for each photo: `FOLDER/NAME.png`, below the same subfolders as in the folder asked for.

    Args:
        masks: folder of the masks, or None.
        overlays: folder of the overlays, or None.
        asked: the arguments of the command: files and folders.
    """

    def __init__(self, masks: Path | None, overlays: Path | None, asked: list[str]) -> None:
        self._folders = {"mask": masks, "overlay": overlays}
        self._roots = [Path(argument) for argument in asked if Path(argument).is_dir()]
        self._written: dict[Path, str] = {}
        for folder in (masks, overlays):
            if folder is not None and folder.exists() and not folder.is_dir():
                raise UsageError(f"{printable(folder)}: is a file; for masks --out and --overlay name folders")

    def check(self, photos: Iterable[Path]) -> None:
        """Refuse to write over photos that are asked for.

        Raises:
            UsageError: a mask or an overlay would have the name of one, such as a PNG in the folder of `--out`.
        """
        asked = {photo.resolve(): photo for photo in photos}
        for what, folder in self._folders.items():
            if folder is None or not folder.is_dir():
                continue
            for photo in asked.values():
                lost = asked.get((folder / self._name(photo)).resolve())
                if lost is not None:
                    raise UsageError(
                        f"{printable(folder)}: the {what} of {printable(photo)} would overwrite the photo "
                        f"{printable(lost)}: name another folder"
                    )

    def write(self, photo: PredictedImage, answer: Segmentation) -> None:
        """Write what was asked for of one photo.

        Raises:
            OutputError: it cannot be written, or two photos would have one mask.
        """
        if self._folders["mask"] is not None:
            self._save(self._folders["mask"], photo, answer.image())
        if self._folders["overlay"] is not None:
            from bitvit.runtime.decoding import open_image

            if not isinstance(photo, Path):
                photo.seek(0)
            self._save(self._folders["overlay"], photo, answer.overlay(open_image(photo)))

    def _save(self, folder: Path, photo: PredictedImage, picture: Image.Image) -> None:
        path = folder / self._name(photo)
        if isinstance(photo, Path) and path.exists() and path.samefile(photo):
            raise OutputError(f"{printable(path)}: is the photo itself: name another folder")
        if path in self._written:
            raise OutputError(
                f"{printable(path)}: would be written for {printable(self._written[path])} and for "
                f"{printable(photo)}: predict them into two folders"
            )
        self._written[path] = str(photo)
        stream = io.BytesIO()
        picture.save(stream, "PNG")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise OutputError(f"{printable(path.parent)}: cannot be created ({error.strerror})") from None
        write_atomically(path, stream.getvalue())

    def _name(self, photo: PredictedImage) -> Path:
        if not isinstance(photo, Path):
            return Path("stdin.png")
        for root in self._roots:
            if photo.is_relative_to(root):
                return photo.relative_to(root).with_suffix(".png")
        return Path(photo.name).with_suffix(".png")
