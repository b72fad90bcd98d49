"""The studies that come with bitvit, one YAML file each (`bitvit study --list`)."""
