"""`to_onnx`: a packed network as an ONNX model."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper

import bitvit
from bitvit.errors import ExportError
from bitvit.files import write_atomically
from bitvit.interchange.onnx_graph import OnnxGraph
from bitvit.interchange.onnx_operators import OnnxCall, writers
from bitvit.program import BitvitFile, Value
from bitvit.runtime import Engine
from bitvit.tasks import task_named

__all__ = ["OPSET", "OnnxAgreement", "compare_with_engine", "to_onnx", "write_onnx"]

OPSET = 20
"""Version of the ONNX operators: the first with GELU."""

_IR_VERSION = 9


@dataclass(frozen=True)
class OnnxAgreement:
    """How well an ONNX model agrees with the engine on images.

    Attributes:
        images: how many were compared.
        identical_predictions: fraction of equal decisions (classes of images, or of pixels).
        max_logit_difference: largest absolute difference of a logit; None where the network decides itself.
        typical_logit_difference: median of the absolute differences.
    """

    images: int
    identical_predictions: float
    max_logit_difference: float | None
    typical_logit_difference: float | None


def to_onnx(file: BitvitFile) -> onnx.ModelProto:
    """Return a network as plain ONNX operators in float arithmetic.

    Input ``images``: uint8 [batch, H, W, C], prepared as `Preprocessing` says (normalization is part of the network).
    Output ``logits``: float32 [batch, classes]; for segmentation float32 [batch, h, w, classes], or ``classes``: int32
    [batch, h, w]. Labels, preprocessing, task and provenance are in the model's metadata.

    Raises:
        ExportError: the network has an operator that has no ONNX form.
    """
    program, known = file.program, writers()
    graph = OnnxGraph("images")
    graph.begin(program.input)
    names = {program.input: graph.node("Cast", "images", to=TensorProto.FLOAT)}
    for index, op in enumerate(program.ops):
        if op.op not in known:
            raise ExportError(f"operator {index} ({op.op}) has no ONNX form")
        graph.begin(f"{op.outputs[0]}/{op.op}")
        call = OnnxCall(
            tuple(names[name] for name in op.inputs),
            tuple(program.values[name] for name in op.inputs),
            op.attrs,
            {parameter: file.tensors[name] for parameter, name in op.tensors.items()},
            tuple(program.values[name] for name in op.outputs),
        )
        names.update(zip(op.outputs, known[op.op](graph, call), strict=True))
    return _model(file, graph, names[program.output], program.values[program.output])


def _model(file: BitvitFile, graph: OnnxGraph, output: str, value: Value) -> onnx.ModelProto:
    decides = value.type == "i32"
    shape = _output_shape(file, value)
    name = "classes" if decides else "logits"
    graph.begin(name)
    graph.nodes.append(
        helper.make_node("Reshape", [output, graph.constant([-1, *shape], np.int64)], [name], name=f"{name}/Reshape")
    )
    image = file.program.values[file.program.input].shape
    kind = TensorProto.INT32 if decides else TensorProto.FLOAT
    onnx_graph = helper.make_graph(
        graph.nodes,
        str(file.provenance.get("model") or "network"),
        [helper.make_tensor_value_info("images", TensorProto.UINT8, ["batch", *image])],
        [helper.make_tensor_value_info(name, kind, ["batch", *shape])],
        graph.initializers,
    )
    model = helper.make_model(
        onnx_graph,
        producer_name="bitvit",
        producer_version=bitvit.__version__,
        opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=_IR_VERSION,
    )
    metadata = {
        "task": file.task,
        "labels": json.dumps(file.labels),
        "preprocessing": json.dumps(asdict(file.preprocessing)),
        "provenance": json.dumps(file.provenance),
        **({} if file.colors is None else {"colors": json.dumps(file.colors)}),
    }
    helper.set_model_props(model, metadata)
    onnx.checker.check_model(model, full_check=True)
    return model


def _output_shape(file: BitvitFile, value: Value) -> list[int]:
    """Shape of the output for one image: classes, or a grid of cells, and classes behind it if it does not decide."""
    if file.task != "segmentation":
        return [value.shape[-1]]
    height, width = file.preprocessing.image_size
    stride = math.isqrt(height * width // value.shape[0])
    return [height // stride, width // stride, *value.shape[1:]]


def write_onnx(file: BitvitFile, path: str | os.PathLike[str]) -> onnx.ModelProto:
    """Write a network as an ONNX file, see `to_onnx`; under a temporary name, then renamed.

    Raises:
        ExportError: the network has an operator that has no ONNX form.
        OutputError: the file cannot be written.
    """
    model = to_onnx(file)
    write_atomically(path, model.SerializeToString())
    return model


def compare_with_engine(
    model: onnx.ModelProto,
    file: BitvitFile,
    images: Iterable[tuple[npt.NDArray[np.uint8], Any]],
    threads: int | None = None,
) -> OnnxAgreement:
    """Run ONNX Runtime and the engine on the same prepared images.

    Args:
        model: what `to_onnx` made of the file.
        file: the network.
        images: batches of uint8 [B, H, W, C], with anything behind them.
        threads: threads of each.

    Raises:
        ImportError: ONNX Runtime is not installed.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = threads or 0
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    engine = Engine(file.program, file.tensors, threads=threads)
    task = task_named(file.task)
    total = decided = same = 0
    differences: list[npt.NDArray[Any]] = []
    for batch, _ in images:
        expected = engine.run(np.ascontiguousarray(batch))
        found = session.run(None, {"images": batch})[0].reshape(expected.shape)
        own, other = (task.decisions(output).reshape(-1) for output in (expected, found))
        total, decided, same = total + len(batch), decided + own.size, same + int((own == other).sum())
        if expected.dtype == np.float32:
            differences.append(np.abs(expected - found).reshape(-1))
    every = np.concatenate(differences) if differences else None
    return OnnxAgreement(
        total,
        same / decided if decided else math.nan,
        None if every is None else float(every.max()),
        None if every is None else float(np.median(every)),
    )
