"""Write a folder of made photos, for measuring recipes where no photos may be downloaded.

    python benchmarks/made_photos.py OUT [--kind textures|shapes] [--per-class 60] [--size 224x224] [--seed 0]

`textures`: stripes, dots, checks and waves at any scale, angle, contrast and colours, in uneven light: easy. `shapes`:
three to six circles, squares or crosses in random colours on a coloured background: hard, because neither colour nor
texture tells them apart. Three JPEG files to one PNG.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw

Size = tuple[int, int]


def _coordinates(rng: np.random.Generator, size: Size) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Return two axes at a random angle, in periods of the texture: 6 to 20 of them across the image."""
    width, height = size
    y, x = np.mgrid[:height, :width] / min(size) * rng.uniform(6, 20)
    angle = rng.uniform(0, np.pi)
    return np.cos(angle) * x + np.sin(angle) * y, np.cos(angle) * y - np.sin(angle) * x


def _texture(kind: str, rng: np.random.Generator, size: Size) -> Image.Image:
    u, v = _coordinates(rng, size)
    if kind == "stripes":
        pattern = np.sin(2 * np.pi * u)
    elif kind == "dots":
        pattern = 0.7 - 2.5 * np.hypot(u - np.round(u), v - np.round(v))
    elif kind == "checks":
        pattern = np.sign(np.sin(np.pi * u) * np.sin(np.pi * v))
    else:
        pattern = np.sin(2 * np.pi * (u + 0.35 * np.sin(2 * np.pi * v / 2)))
    share = np.clip(0.5 + pattern * rng.uniform(0.3, 1.5), 0, 1)[..., None]
    dark, bright = np.sort(rng.uniform(0, 255, (2, 3)), axis=0)
    light = rng.uniform(0.6, 1.0) + 0.4 * (u - u.min()) / np.ptp(u)
    pixels = (dark + (bright - dark) * share) * light[..., None] + rng.normal(0, 8, (*u.shape, 1))
    return Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))


def _shapes(kind: str, rng: np.random.Generator, size: Size) -> Image.Image:
    width, height = size
    image = Image.fromarray(rng.integers(0, 256, (6, 8, 3), dtype=np.uint8)).resize(size, Image.Resampling.BICUBIC)
    draw = ImageDraw.Draw(image)
    line = max(9, height // 20)
    for _ in range(int(rng.integers(3, 7))):
        side = int(rng.integers(height // 8, height // 3))
        x, y = int(rng.integers(0, width - side)), int(rng.integers(0, height - side))
        color = tuple(int(value) for value in rng.integers(0, 256, 3))
        if kind == "circles":
            draw.ellipse((x, y, x + side, y + side), fill=color)
        elif kind == "squares":
            draw.rectangle((x, y, x + side, y + side), fill=color)
        else:
            draw.line((x, y, x + side, y + side), fill=color, width=line)
            draw.line((x, y + side, x + side, y), fill=color, width=line)
    return image


Draw = Callable[[str, np.random.Generator, Size], Image.Image]
KINDS: dict[str, tuple[tuple[str, ...], Draw]] = {
    "textures": (("stripes", "dots", "checks", "waves"), _texture),
    "shapes": (("circles", "squares", "crosses"), _shapes),
}


def write_photos(out: Path, kind: str, per_class: int, size: Size, seed: int = 0) -> None:
    """Write `per_class` images of each class of `kind` to `out/CLASS/`."""
    classes, draw = KINDS[kind]
    rng = np.random.default_rng(seed)
    for name in classes:
        folder = out / name
        folder.mkdir(parents=True, exist_ok=True)
        for number in range(per_class):
            image = draw(name, rng, size)
            if number % 4 == 3:
                image.save(folder / f"IMG_{number:04}.png")
            else:
                image.save(folder / f"IMG_{number:04}.JPG", format="JPEG", quality=88)


def main() -> None:
    """Write the folder that was asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--kind", choices=tuple(KINDS), default="textures")
    parser.add_argument("--per-class", type=int, default=60)
    parser.add_argument("--size", default="224x224")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    width, height = (int(part) for part in arguments.size.split("x"))
    write_photos(arguments.out, arguments.kind, arguments.per_class, (width, height), arguments.seed)


if __name__ == "__main__":
    main()
