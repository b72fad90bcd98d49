"""The engines that a packed network is compared with, each with the full-precision network of the same architecture.

Every rival is either measured or listed as missing, with the reason.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from bitvit.analysis.latency import Contender

if TYPE_CHECKING:
    from torch import nn

    from bitvit.analysis.rivals.setting import FloatArray

__all__ = ["ENGINES", "PACKAGES", "RIVALS", "Lineup", "line_up"]

# Engine -> the rivals that it offers, in the order of the table.
ENGINES: dict[str, tuple[str, ...]] = {
    "pytorch": ("PyTorch fp32",),
    "onnxruntime": ("ONNX Runtime fp32", "ONNX Runtime int8 dynamic", "ONNX Runtime int8 static"),
    "openvino": ("OpenVINO fp32", "OpenVINO bf16", "OpenVINO int8"),
}
RIVALS = tuple(name for names in ENGINES.values() for name in names)

# What each engine imports; of the last one's only openvino itself is indispensable.
PACKAGES = {
    "pytorch": ("torch",),
    "onnxruntime": ("onnx", "onnxscript", "onnxruntime"),
    "openvino": ("onnx", "onnxscript", "openvino"),
}


@dataclass
class Lineup:
    """Who is measured, and why the others are not."""

    contenders: list[Contender] = field(default_factory=list)
    missing: dict[str, str] = field(default_factory=dict)

    def try_to_add(self, name: str, build: Callable[[], Contender]) -> None:
        """Add a contender; note the reason where it cannot be built.

        Converters and engines fail with exceptions of all kinds; none of them may end the measurement of the others.
        """
        try:
            self.contenders.append(build())
        except ImportError as error:
            self.missing[name] = f"{error.name or error} is not installed (pip install 'bitvit[bench]')"
        except Exception as error:
            lines = str(error).strip().splitlines()
            self.missing[name] = f"{type(error).__name__}: {lines[0][:200] if lines else ''}"


def line_up(
    twin: nn.Module, images: FloatArray, threads: int, folder: Path, engines: Collection[str] = tuple(ENGINES)
) -> Lineup:
    """Prepare every rival of the chosen engines.

    Args:
        twin: the full-precision network (`bitvit.analysis.float_twin`).
        images: normalized float32 `[B, 3, H, W]`, on which all of them are timed.
        threads: threads of each engine.
        folder: where converted networks are written.
        engines: of `ENGINES`; the rivals of the others are listed as not asked for.
    """
    from bitvit.analysis.rivals import onnx_runtime, openvino, pytorch
    from bitvit.analysis.rivals.setting import Setting

    setting = Setting(twin, images, threads, folder)
    builders: dict[str, Callable[[Setting], Contender]] = {
        "PyTorch fp32": pytorch.fp32,
        "ONNX Runtime fp32": onnx_runtime.fp32,
        "ONNX Runtime int8 dynamic": onnx_runtime.int8_dynamic,
        "ONNX Runtime int8 static": onnx_runtime.int8_static,
        "OpenVINO fp32": openvino.fp32,
        "OpenVINO bf16": openvino.bf16,
        "OpenVINO int8": openvino.int8,
    }
    lineup = Lineup()
    for engine, names in ENGINES.items():
        for name in names:
            if engine in engines:
                lineup.try_to_add(name, lambda build=builders[name]: build(setting))  # type: ignore[misc]
            else:
                lineup.missing[name] = "not asked for"
    return lineup
