"""What all baselines share: the network, its ONNX files (written when first asked for), images and threads."""

from __future__ import annotations

import io
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

FloatArray = npt.NDArray[np.float32]

# Batches of random images that int8 ranges are fitted to.
CALIBRATION_BATCHES = 8
PRODUCTS = ["MatMul", "Gemm", "Conv"]


@dataclass(frozen=True)
class Setting:
    """The full-precision network, the images to time it on, the number of threads, and a folder for files."""

    twin: nn.Module
    images: FloatArray
    threads: int
    folder: Path

    @property
    def weight_bytes(self) -> int:
        """Size of all parameters."""
        return sum(parameter.numel() * parameter.element_size() for parameter in self.twin.parameters())

    def calibration_images(self) -> list[FloatArray]:
        """Return other random images, of the same shape."""
        rng = np.random.default_rng(1)
        return [
            rng.uniform(-1, 1, self.images.shape).astype(np.float32) for _ in range(CALIBRATION_BATCHES)
        ]  # fmt: skip

    @cached_property
    def onnx_file(self) -> Path:
        """The network in ONNX, for a fixed batch.

        Raises:
            ImportError: the ONNX packages are not installed.
        """
        import onnx
        import onnxscript  # noqa: F401 (what torch.onnx needs; its own message is longer)

        file = self.folder / "fp32.onnx"
        with silence(), torch.inference_mode():
            torch.onnx.export(
                self.twin, (torch.from_numpy(self.images),), file, dynamo=True, external_data=False, verbose=False
            )
        # The exporter leaves shapes of values that its own optimizer has changed; quantizers infer them anew.
        model = onnx.load(file)
        del model.graph.value_info[:]
        onnx.save(model, file)
        return file

    @cached_property
    def static_int8_file(self) -> Path:
        """The network in ONNX with quantize and dequantize operators around its products.

        Weights have a scale per output channel, activations one per tensor; ranges come from random images. Weights
        have 7 bits, because AVX2 and AVX-512 without VNNI add products of bytes in 16 bits that would overflow.
        """
        from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
        from onnxruntime.quantization.shape_inference import quant_pre_process

        setting, name = self, _input_name(self.onnx_file)

        class RandomImages(CalibrationDataReader):  # type: ignore[misc]
            def __init__(self) -> None:
                self.left = iter(setting.calibration_images())

            def get_next(self) -> dict[str, Any] | None:
                batch = next(self.left, None)
                return None if batch is None else {name: batch}

        prepared, file = self.folder / "prepared.onnx", self.folder / "int8_static.onnx"
        with silence():
            quant_pre_process(str(self.onnx_file), str(prepared), skip_symbolic_shape=True)
            quantize_static(
                str(prepared),
                str(file),
                RandomImages(),
                quant_format=QuantFormat.QDQ,
                op_types_to_quantize=PRODUCTS,
                per_channel=True,
                reduce_range=True,
                activation_type=QuantType.QUInt8,
                weight_type=QuantType.QInt8,
            )
        return file


def _input_name(file: Path) -> str:
    import onnx

    name: str = onnx.load(file, load_external_data=False).graph.input[0].name
    return name


@contextmanager
def silence() -> Iterator[None]:
    """Keep the converters' progress messages and warnings away from the user."""
    previous = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings(), redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(previous)
