"""ONNX models as ONNX Runtime runs them: on one thread, without messages."""

from __future__ import annotations

from typing import Any


def session_of(model: Any) -> Any:
    """An `onnxruntime.InferenceSession`."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
