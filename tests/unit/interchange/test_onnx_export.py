"""`to_onnx`: what it refuses. Operators and networks are in `tests/parity/test_onnx_*.py`."""

from __future__ import annotations

import pytest
import torch

from bitvit.errors import ExportError
from bitvit.export import build_program, pack, unlabelled_file
from bitvit.layers import calibrate
from bitvit.models import create_model
from tests.support.random_models import random_images

pytest.importorskip("onnx")

from bitvit.interchange import onnx_operators, to_onnx


def test_an_operator_without_an_onnx_form_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    model = create_model("test_binaryvit")
    calibrate(model, random_images(model, count=2, seed=0).normalized)
    packed = pack(model.eval())
    file = unlabelled_file(packed, *build_program(packed))
    monkeypatch.delattr(onnx_operators, "write_binary_linear")
    index = next(i for i, op in enumerate(file.program.ops) if op.op == "binary_linear")
    with pytest.raises(ExportError, match=rf"^operator {index} \(binary_linear\) has no ONNX form$"):
        to_onnx(file)
