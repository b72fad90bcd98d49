"""What the outputs of a network are."""

from torch import nn

__all__ = ["is_for_pixels"]


def is_for_pixels(model: nn.Module) -> bool:
    """Return whether a network answers for every pixel, not for the whole image: it has the attribute `is_for_pixels`.

    Its images are resized as a whole; those of other networks are cropped.
    """
    return bool(getattr(model, "is_for_pixels", False))
