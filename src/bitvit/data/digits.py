"""The 1,797 handwritten digits that scikit-learn brings along."""

from __future__ import annotations

import numpy as np
from PIL import Image

from bitvit.data.errors import DataError
from bitvit.data.image_set import ArraySource, ImageSet

__all__ = ["load_digits"]

_SIDE = 32


def load_digits() -> ImageSet:
    """Return all digits as grey images of 32 x 32 pixels.

    The originals have 8 x 8 pixels of 17 grey levels, too few to crop from; they are enlarged bicubically here, so that
    training, evaluation and the packed file all see the same 32 x 32 images.

    Raises:
        DataError: if scikit-learn is not installed.
    """
    try:
        from sklearn.datasets import load_digits as load
    except ImportError:
        raise DataError("data set 'digits' comes with scikit-learn: pip install scikit-learn") from None
    bunch = load()
    small = np.rint(bunch.images * (255 / 16)).astype(np.uint8)
    images = np.stack(
        [np.asarray(Image.fromarray(image).resize((_SIDE, _SIDE), Image.Resampling.BICUBIC)) for image in small]
    )
    return ImageSet.whole(ArraySource(images, "digits"), bunch.target, [str(digit) for digit in range(10)])
