"""Print a digest of the logits of packed networks: it is the same on every machine and instruction set, and stays the
same when the engine gets faster.

python benchmarks/logits.py > before.txt
python benchmarks/logits.py gsb_deit_small_patch16_224 photos.bitvit --isa avx2

By default all registered models that can be packed, on the fastest instruction set; their weights are random from a
fixed seed, with noise on every parameter so that none keeps its initial value. Each line: name, SHA-256 of the float32
logits of two random images.
"""

from __future__ import annotations

import argparse
import hashlib
import sys
from pathlib import Path

import numpy as np
import torch

from bitvit import _core
from bitvit.errors import BitvitError
from bitvit.export import build_program, pack
from bitvit.models import create_model, list_models
from bitvit.program import read_file
from bitvit.runtime import Engine

SEED = 20
SPREAD = 0.02  # of the noise


def engine_of_model(name: str, isa: str) -> Engine:
    """A registered model whose weights depend on nothing but the seed."""
    torch.manual_seed(SEED)
    model = create_model(name).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn(parameter.shape), alpha=SPREAD)
    return Engine(*build_program(pack(model)), threads=1, isa=isa)


def engine_of_file(path: Path, isa: str) -> Engine:
    """The network of a `.bitvit` file."""
    file = read_file(path)
    return Engine(file.program, file.tensors, threads=1, isa=isa)


def digest(engine: Engine) -> str:
    """Of the logits of two random images."""
    shape = engine.program.values[engine.program.input].shape
    logits = engine.run(np.random.default_rng(SEED).integers(0, 256, (2, *shape), np.uint8))
    return hashlib.sha256(np.ascontiguousarray(logits, np.dtype("<f4")).tobytes()).hexdigest()


def main() -> int:
    """Print a line per network."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("networks", nargs="*", metavar="NETWORK", help="model names and .bitvit files")
    parser.add_argument("--isa", choices=_core.available_isas(), default=_core.available_isas()[-1])
    arguments = parser.parse_args()
    registered = [name for name in list_models(packable=True) if not name.startswith("deit_")]  # nothing binary
    try:
        for name in arguments.networks or registered:
            if name in registered:
                engine = engine_of_model(name, arguments.isa)
            else:
                engine = engine_of_file(Path(name), arguments.isa)
            print(f"{name:34s} {digest(engine)}", flush=True)
    except BitvitError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
