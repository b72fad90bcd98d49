"""Names that say what images are for: training, validation, testing."""

from __future__ import annotations

import re
from typing import Literal, TypeAlias

__all__ = ["Role", "role_in_name", "split_role"]

Role: TypeAlias = Literal["train", "val", "test"]

_ROLES: dict[str, Role] = {
    **dict.fromkeys(("train", "training", "trn", "trainval"), "train"),
    **dict.fromkeys(("val", "valid", "validation", "validate", "dev", "devel", "eval", "evaluation"), "val"),
    **dict.fromkeys(("test", "testing", "tst", "holdout", "heldout"), "test"),
}  # fmt: skip
_CAMEL = re.compile(r"([a-z])([A-Z])")
# Words that may stand beside the name of a split: `train_images`, `Test Set`, `val2017`.
_FILLERS = frozenset(
    [
        "set",
        "sets",
        "data",
        "dataset",
        "datasets",
        "image",
        "images",
        "img",
        "imgs",
        "photo",
        "photos",
        "picture",
        "pictures",
        "split",
        "folder",
        "folders",
    ]
)


def split_role(name: str) -> Role | None:
    """Return the purpose that a folder's name suggests: training, validation, testing, or none.

    `Train`, `training_set`, `VAL2017`, `Test images`, `trainData` are names of splits; `train station` is not.
    """
    whole = re.sub(r"[\W_\d]+", "", name).casefold()
    if whole in _ROLES:  # `hold-out`
        return _ROLES[whole]
    words = [
        part for word in re.split(r"[\W_\d]+", _CAMEL.sub(r"\1 \2", name).casefold()) if word for part in _parted(word)
    ]
    roles = [_ROLES[word] for word in words if word in _ROLES]
    rest = [word for word in words if word not in _ROLES and word not in _FILLERS]
    return roles[0] if len(roles) == 1 and not rest else None


def _parted(word: str) -> tuple[str, ...]:
    """Return the parts of `trainset` or `valimages`: the name of a split and such a word; else the word itself."""
    for known in _ROLES:
        if word.startswith(known) and word[len(known) :] in _FILLERS:
            return known, word[len(known) :]
        if word.endswith(known) and word[: -len(known)] in _FILLERS:
            return word[: -len(known)], known
    return (word,)


def role_in_name(name: str) -> tuple[str, Role] | None:
    """Return the rest of a name and the purpose that one of its words says, or None: `cats_train` is cats to train on.

    A name that is nothing but a split's has no rest, and is not meant here.
    """
    words = [word for word in re.split(r"[\W_]+", _CAMEL.sub(r"\1 \2", name).casefold()) if word]
    roles = [_ROLES[word] for word in words if word in _ROLES]
    rest = " ".join(word for word in words if word not in _ROLES)
    return (rest, roles[0]) if len(roles) == 1 and rest else None
