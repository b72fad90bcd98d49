"""Random numbers by purpose: every draw depends on the seed and on what it is for, never on what was drawn before it.

So a result depends neither on the number of worker processes nor on where a run was interrupted.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch

__all__ = ["derive_seed", "isolated_randomness", "seed_global_generators", "seed_torch"]


def derive_seed(*parts: int | str) -> int:
    """Return a 63-bit seed for one purpose, named by `parts`."""
    text = "\0".join(f"{type(part).__name__}:{part}" for part in parts)
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little") >> 1


def seed_torch(*parts: int | str) -> None:
    """Seed PyTorch's generators (dropout, stochastic depth, initial weights) for one purpose."""
    torch.manual_seed(derive_seed(*parts))


def seed_global_generators(*parts: int | str) -> None:
    """Seed the global CPU generators of Python, NumPy and PyTorch; to be used inside `isolated_randomness`."""
    seed = derive_seed(*parts)
    random.seed(seed)
    np.random.seed(seed & 0xFFFFFFFF)  # noqa: NPY002
    torch.default_generator.manual_seed(seed)


@contextmanager
def isolated_randomness(*parts: int | str) -> Iterator[None]:
    """Seed the global CPU generators of Python, NumPy and PyTorch for a while, and restore them afterwards.

    timm's transforms draw from all three, so NumPy's old global generator is among them.
    """
    python_state, torch_state = random.getstate(), torch.get_rng_state()
    numpy_state = np.random.get_state()  # noqa: NPY002
    seed_global_generators(*parts)
    try:
        yield
    finally:
        random.setstate(python_state)
        np.random.set_state(numpy_state)  # noqa: NPY002
        torch.set_rng_state(torch_state)
