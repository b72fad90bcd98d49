"""A folder of families, as `bitvit.models` is one."""
