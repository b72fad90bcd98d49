"""The cards of the files that come with bitvit: ``python -m bitvit.publishing.trained_cards`` writes them."""

from __future__ import annotations

import yaml

from bitvit.program import read_file
from bitvit.publishing.card import Making, model_card
from bitvit.trained import TrainedModel, trained_models

__all__ = ["trained_card"]


def trained_card(model: TrainedModel) -> str:
    """Return the card of a file that comes with bitvit, from the file and from ``origins.yaml`` beside it.

    Args:
        model: which one.

    Returns:
        The card, Markdown.
    """
    origins = yaml.safe_load(model.path.with_name("origins.yaml").read_text("utf-8"))
    origin = origins[model.name]
    making = Making(origin["data"], origin["limits"], tuple(origin["commands"]), origin["sample"])
    return model_card(read_file(model.path), model.path.stat().st_size, model.name, origin["license"], making)


if __name__ == "__main__":
    for trained in trained_models():
        trained.card.write_text(trained_card(trained), "utf-8")
