"""`bitvit export RUN net.onnx`: a packed network as an ONNX file."""

from __future__ import annotations

import argparse
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Any

from bitvit.cli.export import Packed, pack_run, report_rows
from bitvit.cli.output import format_bytes, print_json, print_note, print_table, table


def export_onnx(arguments: argparse.Namespace) -> int:
    """Pack the run, or read the packed file; write it as ONNX, compare ONNX Runtime with the engine, and print."""
    from bitvit.interchange import compare_with_engine, write_onnx
    from bitvit.program import read_file

    packed: Packed | None = None
    if arguments.run.suffix == ".bitvit":
        file = read_file(arguments.run)
    else:
        with tempfile.TemporaryDirectory(prefix="bitvit-export-") as folder:
            path = Path(folder) / "model.bitvit"
            packed = pack_run(arguments, path)
            file = read_file(path)
    model = write_onnx(file, arguments.out)
    size = arguments.out.stat().st_size
    document: dict[str, Any] = {"file": str(arguments.out), "size_bytes": size}
    rows = [["file", f"{arguments.out} ({format_bytes(size)})"]]
    if packed is not None:
        document |= packed.report.as_dict()
        rows += report_rows(packed, size)
    agreement = None
    if packed is not None and packed.images is not None:
        batches = packed.images.batches(file.preprocessing, 64)
        agreement = compare_with_engine(model, file, batches, threads=arguments.threads)
        rows.append(["ONNX Runtime decides as the engine", f"{agreement.identical_predictions:.2%}"])
        if agreement.max_logit_difference is not None and agreement.typical_logit_difference is not None:
            texts = (f"{agreement.max_logit_difference:.3g}", f"{agreement.typical_logit_difference:.3g}")
            rows.append(["logit difference of the two", f"at most {texts[0]}, median {texts[1]}"])
    document["onnx"] = None if agreement is None else asdict(agreement)
    if arguments.json:
        print_json(document)
        return 0
    result = table("", ["", ""], rows, numeric_from=2)
    result.show_header = False
    print_table(result)
    if agreement is None:
        print_note("ONNX Runtime was not compared with the engine (that needs a run and its images)")
    return 0
