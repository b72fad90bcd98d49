"""Time whole packed models, with random weights, against other engines.

python benchmarks/latency.py --model gsb_deit_small_patch16_224 --threads 1 --batch 1 --json

The same as `bitvit bench --model ...`; here also for several models, one after the other.
"""

from __future__ import annotations

import argparse
import sys

from bitvit.cli import main as bitvit_command


def main() -> int:
    """Run `bitvit bench` for each model and return the first exit code that is not 0."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--model", action="append", metavar="NAME", help="a registered model; may be given more than once"
    )
    arguments, options = parser.parse_known_args()
    for model in arguments.model or ["gsb_deit_small_patch16_224"]:
        code = bitvit_command(["bench", "--model", model, *options])
        if code != 0:
            return code
    return 0


if __name__ == "__main__":
    sys.exit(main())
