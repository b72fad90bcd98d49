"""Giving a ``.bitvit`` file to others: its model card, and its repository on the hub."""

from bitvit.publishing.card import Making, model_card
from bitvit.publishing.push import Pushed, push

__all__ = ["Making", "Pushed", "model_card", "push"]
