"""Packaged recipes (YAML); read by `bitvit.training.Recipe.load`."""
