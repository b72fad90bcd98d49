"""Time whole packed models, with random weights, against other engines; memory, start-up and scaling on request.

python benchmarks/latency.py --model gsb_deit_small_patch16_224 --threads 1 --batch 1 --json
python benchmarks/latency.py --full --markdown > tables.md

Each model is measured as `bitvit bench --model NAME` does, with the same options. `--json` prints one list with an
entry for each model, `--markdown` the tables of docs/performance.md.
"""

from __future__ import annotations

import argparse
import datetime
import json
import sys
from typing import Any

from bitvit.bench.tables import markdown
from bitvit.cli import bench
from bitvit.cli.output import print_error
from bitvit.errors import BitvitError

MODELS = ("gsb_deit_small_patch16_224", "binaryvit_small_patch4_224", "bhvit_small_patch4_224")


def main() -> int:
    """Measure each model, one after the other, and print all of it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="+", metavar="NAME", help=f"several models (default {', '.join(MODELS)})")
    parser.add_argument("--markdown", action="store_true", help="print tables in Markdown")
    bench.add_arguments(parser)
    arguments = parser.parse_args()
    models = arguments.models or ([arguments.model] if arguments.model or arguments.file else MODELS)
    if not (arguments.json or arguments.markdown) and len(models) == 1:
        arguments.model = models[0]
        return bench.run(arguments)
    documents: list[dict[str, Any]] = []
    for model in models:
        arguments.model = model
        try:
            documents.append(bench.measure(arguments))
        except BitvitError as error:
            print_error(str(error))
            return 2
        print(f"measured {documents[-1]['name']}", file=sys.stderr)
    if arguments.markdown:
        print(markdown(documents, date=datetime.date.today().isoformat(), command=" ".join(["python", *sys.argv])))
    else:
        print(json.dumps(documents, indent=2))
    return 0


if __name__ == "__main__":
    sys.exit(main())
