"""`bitvit complexity`: operations, parameters and bytes by layer."""

from __future__ import annotations

import argparse
from itertools import groupby
from typing import TYPE_CHECKING, Any

from bitvit.cli.deferred_imports import add_import_argument, load_pytorch
from bitvit.cli.output import format_bytes, print_json, print_note, print_table, table
from bitvit.model_files import local_file

if TYPE_CHECKING:
    from bitvit.complexity import Complexity, Cost, FileComplexity

HELP = "count binary operations, float operations, parameters and bytes by layer"
EXAMPLES = (
    "bitvit complexity gsb_deit_small_patch16_224",
    "bitvit complexity deit_small_distilled_patch16_224 --json",
    "bitvit complexity digits.bitvit",
)

_COLUMNS = ["", "MBOPs", "MFLOPs", "MOPs", "other MFLOPs", "parameters", "float32", "packed"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument(
        "model", metavar="MODEL|FILE", help="a registered model (see `bitvit models`) or a .bitvit file"
    )
    parser.add_argument("--layers", action="store_true", help="print every layer, not only the blocks")
    parser.add_argument("--json", action="store_true", help="print JSON, every layer included")
    add_import_argument(parser)


def run(arguments: argparse.Namespace) -> int:
    """Count a registered model by its layers, or a file by its operators."""
    file = local_file(arguments.model)
    if file.suffix == ".bitvit" or file.is_file():
        from bitvit.complexity import file_complexity

        return _print_file(file_complexity(file), arguments)
    load_pytorch()
    from bitvit.complexity import complexity

    return _print_model(complexity(arguments.model), arguments)


def _print_model(result: Complexity, arguments: argparse.Namespace) -> int:
    if arguments.json:
        print_json(result.to_dict())
        return 0
    if result.uncounted:
        print_note(f"not counted, because no rule is registered: {', '.join(result.uncounted)}")
    rows: list[list[str]] = []
    if arguments.layers:
        rows += [_row(layer.name or "(model)", layer.cost) for layer in result.layers]
    else:
        for names in _equal_blocks(result):
            parts = result.block(names[0])
            title = names[0] if len(names) == 1 else f"{names[0]} to {names[-1].rpartition('.')[2]}, each:"
            rows += [_row(f"{title} {part}", parts[part]) for part in ("attention", "mlp", "other")]
            rows.append(_row(title, parts["total"]))
        rows.append(_row("outside the blocks", result.ends))
    rows.append(_row("model", result.total))
    if result.header_bytes:
        rows.append(["header (program, labels)", *[""] * 6, format_bytes(result.header_bytes)])
        rows.append(["file", *[""] * 6, format_bytes(result.file_bytes)])
    size = "x".join(str(side) for side in result.input_size)
    print_table(table(f"{result.model}, one image of {size}", _COLUMNS, rows))
    print_note("OPs = BOPs / 64 + FLOPs; a multiply-add counts 1. 'other' is what the paper's tables leave out.")
    if result.header_bytes:
        print_note("Bytes are of the initial weights; equal tensors are stored once, so a trained file is larger.")
    return 0


def _equal_blocks(result: Complexity) -> list[list[str]]:
    """Group neighbouring blocks that cost the same."""
    return [
        list(group) for _, group in groupby(result.block_names, key=lambda name: tuple(result.block(name).values()))
    ]


def _row(name: str, cost: Cost) -> list[str]:
    charge = cost.charge
    millions = [charge.bops, charge.flops, charge.ops, charge.other_flops]
    return [
        name,
        *(f"{value / 1e6:.2f}" if value else "" for value in millions),
        f"{cost.parameters:,}" if cost.parameters else "",
        format_bytes(cost.float_bytes) if cost.float_bytes else "",
        format_bytes(cost.packed_bytes) if cost.packed_bytes else "",
    ]


def _print_file(result: FileComplexity, arguments: argparse.Namespace) -> int:
    document: dict[str, Any] = result.to_dict()
    if arguments.json:
        print_json(document)
        return 0
    rows = [
        [item.operator, item.output, f"{item.bops / 1e6:.2f}", f"{item.integer_ops / 1e6:.2f}",
         f"{item.flops / 1e6:.2f}", format_bytes(item.size_bytes)]
        for item in (result.operators if arguments.layers else result.by_kind())
    ]  # fmt: skip
    total = result.total
    rows.append(
        ["total", "", f"{total.bops / 1e6:.2f}", f"{total.integer_ops / 1e6:.2f}", f"{total.flops / 1e6:.2f}",
         format_bytes(total.size_bytes)]
    )  # fmt: skip
    rows.append(["header (program, labels, training run)", "", "", "", "", format_bytes(result.header_bytes)])
    rows.append(["file", "", "", "", "", format_bytes(result.file_bytes)])
    columns = ["operator", "output", "MBOPs", "8-bit MOPs", "MFLOPs", "bytes"]
    print_table(table(f"{result.path}, one image", columns, rows, numeric_from=2))
    return 0
