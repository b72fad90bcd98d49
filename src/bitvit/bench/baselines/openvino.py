"""OpenVINO on the CPU: float32, bfloat16 and int8.

The plugin may choose another precision than the one asked for (no bfloat16 without AVX-512): what its products really
run in is read from the compiled network.
"""

from __future__ import annotations

import os
from collections import Counter
from typing import TYPE_CHECKING, Any

from bitvit.bench.baselines.setting import Setting, silence
from bitvit.bench.latency import Contender

if TYPE_CHECKING:
    import openvino

_PRODUCT_LAYERS = {"FullyConnected", "FullyConnectedCompressed", "FullyConnectedQuantized", "MatMul", "Convolution"}
_ATTENTION_LAYERS = {"ScaledDotProductAttention"}
_NAMES = {"f32": "fp32", "f16": "fp16", "i8": "int8", "u8": "int8"}


def fp32(setting: Setting) -> Contender:
    """Float32 arithmetic."""
    return _contender("OpenVINO fp32", _read(setting), setting, "f32", setting.onnx_file.stat().st_size)


def bf16(setting: Setting) -> Contender:
    """Bfloat16 arithmetic, where the CPU has it."""
    return _contender("OpenVINO bf16", _read(setting), setting, "bf16", setting.onnx_file.stat().st_size)


def int8(setting: Setting) -> Contender:
    """Int8 weights and activations: by NNCF's preset for transformers if it is installed, else ONNX Runtime's."""
    import openvino

    try:
        model = _quantized(setting)
        by = "NNCF"
    except ImportError:
        model = openvino.Core().read_model(setting.static_int8_file)
        by = "ONNX Runtime's quantizer"
    contender = _contender("OpenVINO int8", model, setting, "f32", None)
    return Contender(contender.name, contender.run, None, f"{contender.precision}, by {by}")


def _read(setting: Setting) -> openvino.Model:
    import openvino

    return openvino.Core().read_model(setting.onnx_file)


def _quantized(setting: Setting) -> openvino.Model:
    os.environ.setdefault("NNCF_CI", "1")  # a benchmark sends no telemetry
    with silence():
        import nncf

        return nncf.quantize(
            _read(setting),
            nncf.Dataset(setting.calibration_images()),
            model_type=nncf.ModelType.TRANSFORMER,
            subset_size=len(setting.calibration_images()),
        )


def _contender(name: str, model: Any, setting: Setting, precision: str, size_bytes: int | None) -> Contender:
    import openvino

    settings = {
        "INFERENCE_NUM_THREADS": setting.threads,
        "INFERENCE_PRECISION_HINT": precision,
        "PERFORMANCE_HINT": "LATENCY",
    }
    compiled = openvino.Core().compile_model(model, "CPU", settings)
    request = compiled.create_infer_request()

    def run() -> object:
        return request.infer([setting.images], share_inputs=True, share_outputs=True)[0]

    return Contender(name, run, size_bytes, _precision(compiled))


def _precision(compiled: openvino.CompiledModel) -> str:
    """In which arithmetic the products of the compiled network run, the most frequent first."""
    found: Counter[str] = Counter()
    for node in compiled.get_runtime_model().get_ops():
        facts = node.get_rt_info()
        if str(_text(facts, "layerType")) in _PRODUCT_LAYERS | _ATTENTION_LAYERS:
            precision = _text(facts, "runtimePrecision").lower()
            found[_NAMES.get(precision, precision)] += 1
    total = sum(found.values())
    if len(found) == 1:
        return next(iter(found))
    return ", ".join(f"{name} in {count} of {total} products" for name, count in found.most_common())


def _text(facts: Any, key: str) -> str:
    return str(facts[key].astype(str)) if key in facts else ""
