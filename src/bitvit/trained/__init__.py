"""Small trained networks that come with bitvit: ``bitvit.load("digits")``.

Each is a ``.bitvit`` file with its model card and a sample picture; ``origins.yaml`` holds the commands that made it.
"""

from bitvit.trained.catalogue import TrainedModel, trained_model, trained_models

__all__ = ["TrainedModel", "trained_model", "trained_models"]
