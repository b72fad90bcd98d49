"""The engines that a packed network is compared with, each with the full-precision network of the same architecture.

Every function returns the contenders of one engine, or raises ImportError where the engine is not installed.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from bitvit.analysis.latency import Contender

FloatArray = npt.NDArray[np.float32]


def pytorch(twin: nn.Module, images: FloatArray, threads: int) -> list[Contender]:
    """PyTorch, eager, float32."""
    batch = torch.from_numpy(images)
    size = sum(parameter.numel() * parameter.element_size() for parameter in twin.parameters())

    def run() -> object:
        torch.set_num_threads(threads)
        with torch.inference_mode():
            return twin(batch)

    return [Contender("PyTorch fp32", run, size)]


def onnx_runtime(onnx_file: Path, images: FloatArray, threads: int) -> list[Contender]:
    """ONNX Runtime: float32, and dynamic int8 (weights and activations of the matrix products)."""
    import onnxruntime
    from onnxruntime.quantization import QuantType, quantize_dynamic

    quantized = onnx_file.with_name("int8_dynamic.onnx")
    with _silence():
        # Convolutions stay in float32: as int8 they are slower there.
        quantize_dynamic(
            onnx_file,
            quantized,
            weight_type=QuantType.QInt8,
            op_types_to_quantize=["MatMul", "Gemm"],
            extra_options={"MatMulConstBOnly": True},
        )
    contenders = []
    for name, file in (("ONNX Runtime fp32", onnx_file), ("ONNX Runtime int8", quantized)):
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        session = onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
        feed = {session.get_inputs()[0].name: images}
        contenders.append(Contender(name, _bind(session.run, None, feed), file.stat().st_size))
    return contenders


def openvino(onnx_file: Path, images: FloatArray, threads: int) -> list[Contender]:
    """OpenVINO, float32 arithmetic."""
    import openvino

    core = openvino.Core()
    settings = {"INFERENCE_NUM_THREADS": threads, "INFERENCE_PRECISION_HINT": "f32", "PERFORMANCE_HINT": "LATENCY"}
    request = core.compile_model(core.read_model(onnx_file), "CPU", settings).create_infer_request()
    return [Contender("OpenVINO fp32", _bind(request.infer, [images]), onnx_file.stat().st_size)]


def export_onnx(twin: nn.Module, images: FloatArray, file: Path) -> None:
    """Write the full-precision network as ONNX, for a fixed batch.

    Raises:
        ImportError: the ONNX packages are not installed.
    """
    import onnx
    import onnxscript  # noqa: F401 (what torch.onnx needs; its own message is longer)

    with _silence(), torch.inference_mode():
        torch.onnx.export(twin, (torch.from_numpy(images),), file, dynamo=True, external_data=False, verbose=False)
    # The exporter leaves shapes of values that its own optimizer has changed; ONNX Runtime's quantizer infers them
    # anew.
    model = onnx.load(file)
    del model.graph.value_info[:]
    onnx.save(model, file)


def rivals(
    twin: nn.Module, images: FloatArray, threads: int, folder: Path, note: Callable[[str], None]
) -> list[Contender]:
    """Return every contender that is installed; `note` is told which are not, and why."""
    contenders = pytorch(twin, images, threads)
    onnx_file = folder / "fp32.onnx"
    try:
        export_onnx(twin, images, onnx_file)
    except ImportError as error:
        note(f"ONNX Runtime and OpenVINO are left out: {error} (pip install 'bitvit[bench]')")
        return contenders
    engines: Sequence[Callable[[Path, FloatArray, int], list[Contender]]] = (onnx_runtime, openvino)
    for engine in engines:
        try:
            contenders += engine(onnx_file, images, threads)
        except ImportError as error:
            note(f"{engine.__name__} is left out: {error} (pip install 'bitvit[bench]')")
    return contenders


def _bind(function: Callable[..., object], *arguments: Any) -> Callable[[], object]:
    return lambda: function(*arguments)


@contextmanager
def _silence() -> Iterator[None]:
    """Keep the converters' progress messages and warnings away from the user."""
    with warnings.catch_warnings(), redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
        warnings.simplefilter("ignore")
        yield
