"""PyTorch, eager, float32."""

from __future__ import annotations

import torch

from bitvit.bench.baselines.setting import Setting
from bitvit.bench.latency import Contender


def fp32(setting: Setting) -> Contender:
    """The network as a PyTorch module."""
    twin, batch, threads = setting.twin, torch.from_numpy(setting.images), setting.threads

    def run() -> object:
        torch.set_num_threads(threads)
        with torch.inference_mode():
            return twin(batch)

    return Contender("PyTorch fp32", run, setting.weight_bytes, "fp32")
