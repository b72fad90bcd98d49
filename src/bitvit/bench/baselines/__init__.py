"""The engines that a packed network is compared with, each with the full-precision network of the same architecture.

Every baseline is either measured or listed as missing, with the reason.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from bitvit.bench.latency import Contender

if TYPE_CHECKING:
    from torch import nn

    from bitvit.bench.baselines.setting import FloatArray

__all__ = ["BASELINES", "ENGINES", "PACKAGES", "Baselines", "build_baselines"]

# Engine -> the baselines that it offers, in the order of the table.
ENGINES: dict[str, tuple[str, ...]] = {
    "pytorch": ("PyTorch fp32",),
    "onnxruntime": ("ONNX Runtime fp32", "ONNX Runtime int8 dynamic", "ONNX Runtime int8 static"),
    "openvino": ("OpenVINO fp32", "OpenVINO bf16", "OpenVINO int8"),
}
BASELINES = tuple(name for names in ENGINES.values() for name in names)

# What each engine imports; of the last one's only openvino itself is indispensable.
PACKAGES = {
    "pytorch": ("torch",),
    "onnxruntime": ("onnx", "onnxscript", "onnxruntime"),
    "openvino": ("onnx", "onnxscript", "openvino"),
}


@dataclass
class Baselines:
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


def build_baselines(
    twin: nn.Module, images: FloatArray, threads: int, folder: Path, engines: Collection[str] = tuple(ENGINES)
) -> Baselines:
    """Prepare every baseline of the chosen engines.

    Args:
        twin: the full-precision network (`bitvit.bench.float_twin`).
        images: normalized float32 `[B, 3, H, W]`, on which all of them are timed.
        threads: threads of each engine.
        folder: where converted networks are written.
        engines: of `ENGINES`; the baselines of the others are listed as not asked for.
    """
    from bitvit.bench.baselines import onnx_runtime, openvino, pytorch
    from bitvit.bench.baselines.setting import Setting

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
    built = Baselines()
    for engine, names in ENGINES.items():
        for name in names:
            if engine in engines:
                built.try_to_add(name, lambda build=builders[name]: build(setting))  # type: ignore[misc]
            else:
                built.missing[name] = "not asked for"
    return built
