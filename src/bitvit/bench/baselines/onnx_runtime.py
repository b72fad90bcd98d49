"""ONNX Runtime on the CPU: float32, dynamic int8 and static int8."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from bitvit.bench.baselines.setting import Setting, silence
from bitvit.bench.latency import Contender

_INT8_PRODUCTS = {
    "MatMulInteger", "MatMulIntegerToFloat", "DynamicQuantizeMatMul", "QLinearMatMul", "QGemm", "QLinearConv",
    "ConvInteger", "QAttention",
}  # fmt: skip
_FLOAT_PRODUCTS = {"MatMul", "Gemm", "Conv", "FusedMatMul", "FusedGemm", "FusedConv", "Attention", "MultiHeadAttention"}


def fp32(setting: Setting) -> Contender:
    """The network as exported."""
    return _contender("ONNX Runtime fp32", setting.onnx_file, setting)


def int8_dynamic(setting: Setting) -> Contender:
    """Weights in int8, activations quantized as they come; convolutions stay in float32, where they are faster."""
    from onnxruntime.quantization import QuantType, quantize_dynamic

    source, file = setting.onnx_file, setting.folder / "int8_dynamic.onnx"
    with silence():
        quantize_dynamic(
            source,
            file,
            weight_type=QuantType.QInt8,
            op_types_to_quantize=["MatMul", "Gemm"],
            extra_options={"MatMulConstBOnly": True},
        )
    return _contender("ONNX Runtime int8 dynamic", file, setting)


def int8_static(setting: Setting) -> Contender:
    """Weights and activations in int8 with fixed ranges."""
    return _contender("ONNX Runtime int8 static", setting.static_int8_file, setting)


def _contender(name: str, file: Path, setting: Setting) -> Contender:
    import onnxruntime

    optimized = file.with_suffix(".optimized.onnx")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = setting.threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    options.optimized_model_filepath = str(optimized)
    # Its threads may spin while it works, but not while the others have their turn.
    options.add_session_config_entry("session.force_spinning_stop", "1")
    session = onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
    feed = {session.get_inputs()[0].name: setting.images}
    return Contender(name, lambda: session.run(None, feed)[0], file.stat().st_size, _precision(optimized))


def _precision(optimized: Path) -> str:
    """In which arithmetic the products of the optimized network run."""
    import onnx

    kinds = Counter(node.op_type for node in onnx.load(optimized, load_external_data=False).graph.node)
    integer = sum(count for kind, count in kinds.items() if kind in _INT8_PRODUCTS)
    real = sum(count for kind, count in kinds.items() if kind in _FLOAT_PRODUCTS)
    return "fp32" if integer == 0 else f"int8 in {integer} of {integer + real} products"
