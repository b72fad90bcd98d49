"""The importer: names both ways, architecture from shapes, and errors that name what is wrong."""

from __future__ import annotations

import argparse
import json
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import timm
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from bitvit.errors import BitvitError
from bitvit.layers import QuantLinear
from bitvit.models import from_reference
from bitvit.models.reference import (
    CheckpointImportError,
    KeyMismatchError,
    ReferenceConfig,
    detect_family,
    model_spec,
    read_checkpoint,
    read_config,
    set_threshold_scope,
    to_reference,
)
from bitvit.models.reference.families import build_model, key_pairs
from bitvit.models.reference.gsb_models import build_release_deit, gsb_arguments
from tests.support.random_models import perturb

NETWORKS: dict[str, dict[str, Any]] = {
    "test_binaryvit": {"num_attention_heads": [1, 2, 2, 4], "reduction_ratio": [4, 2, 1, 1]},
    "test_binaryvit_somefp": {"num_attention_heads": [1, 2, 2, 4], "reduction_ratio": [4, 2, 1, 1]},
    "test_binaryvit_layer_norm": {"num_attention_heads": [1, 2, 2, 4], "reduction_ratio": [4, 2, 1, 1]},
    "test_reactdeit": {"num_attention_heads": 2},
    "test_reactdeit_odd": {"num_attention_heads": 3},
    "test_reactdeit_avg": {"num_attention_heads": 2},
    "test_reactdeit_all": {"num_attention_heads": 2},
}
"""Networks whose architecture the tensors tell but for the fields given here."""


def checkpoint(name: str, seed: int = 0) -> tuple[nn.Module, dict[str, Tensor]]:
    """A network of ours and its tensors under the authors' names."""
    torch.manual_seed(seed)
    model = timm.create_model(name)
    perturb(model, seed)
    model.eval()
    return model, to_reference(model, dict(model.state_dict()))


def gsb_checkpoint(**fields: object) -> dict[str, Tensor]:
    """A GSB checkpoint of random tensors: 36 channels, 3 heads, 2 blocks, 5 x 5 patches of 3 pixels."""
    torch.manual_seed(1)
    shapes = {
        "cls_token": torch.zeros(1, 1, 36),
        "dist_token": torch.zeros(1, 1, 36),
        "pos_embed": torch.zeros(1, 27, 36),
        "patch_embed.proj.weight": torch.zeros(36, 3, 3, 3),
        "blocks.0.mlp.fc1.weight": torch.zeros(72, 36),
        "blocks.0.attn.move_q.bias": torch.zeros(3, 1, 12),
        "blocks.1.attn.move_q.bias": torch.zeros(3, 1, 12),
        "blocks.0.attn.qkv.bias": torch.zeros(108),
        "blocks.0.attn.clip_attn": torch.zeros(1),
        "head.weight": torch.zeros(7, 36),
    }
    model = build_release_deit(**gsb_arguments(ReferenceConfig("gsb", fields), shapes))
    perturb(model, 1)
    with torch.no_grad():
        for name, value in model.state_dict().items():
            if "base_scale" in name and "input_quantizer" not in name:
                value.fill_(0.1)
    return to_reference(model, dict(model.state_dict()))


@pytest.mark.parametrize("name", NETWORKS)
def test_architecture_from_the_tensors(name: str) -> None:
    model, tensors = checkpoint(name)
    imported = from_reference(NETWORKS[name], tensors)
    assert imported.state_dict().keys() == model.state_dict().keys()
    images = torch.randn(2, *model.pretrained_cfg["input_size"], dtype=torch.float64)
    torch.testing.assert_close(imported.double()(images), model.double()(images), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("name", ["bhvit_tiny_patch4_224", "binaryvit_small_patch4_224_somefp"])
def test_published_sizes_need_no_config(name: str) -> None:
    with torch.device("meta"):
        model = timm.create_model(name)
        tensors = to_reference(model, dict(model.state_dict()))
        rebuilt = build_model(ReferenceConfig(detect_family(tensors)), tensors)
    assert {k: v.shape for k, v in rebuilt.state_dict().items()} == {k: v.shape for k, v in model.state_dict().items()}
    heads = [m.num_heads for m in model.modules() if hasattr(m, "num_heads")]
    assert [m.num_heads for m in rebuilt.modules() if hasattr(m, "num_heads")] == heads


def test_names_are_unique_and_complete() -> None:
    for name in ["test_binaryvit", "test_bhvit", "test_bhvit_gsb", "test_reactdeit_all"]:
        model = timm.create_model(name)
        theirs = [pair.theirs for pair in key_pairs(model)]
        ours = [name for name in model.state_dict() if not name.rpartition(".")[2].startswith("log_")]
        assert len(set(theirs)) == len(theirs) == len(ours)


def test_missing_unexpected_and_misshapen_tensors_are_named() -> None:
    _, tensors = checkpoint("test_reactdeit")
    missing = "vit.encoder.layer.1.attention.attention.movek2"
    del tensors[missing]
    tensors["vit.encoder.layer.0.surplus"] = torch.zeros(1)
    tensors["vit.layernorm.weight"] = torch.zeros(3)
    with pytest.raises(KeyMismatchError) as caught:
        from_reference(NETWORKS["test_reactdeit"], tensors)
    assert caught.value.missing == [missing]
    assert caught.value.unexpected == ["vit.encoder.layer.0.surplus"]
    assert "vit.layernorm.weight has shape [3], expected [32]" in caught.value.mismatched[0]
    for name in (missing, "vit.encoder.layer.0.surplus", "vit.layernorm.weight"):
        assert name in str(caught.value)
    assert isinstance(caught.value, BitvitError)


def test_a_config_that_disagrees_is_refused() -> None:
    _, tensors = checkpoint("test_reactdeit")
    with pytest.raises(KeyMismatchError, match=r"vit\.encoder\.layer\.2"):
        from_reference({"num_attention_heads": 2, "num_hidden_layers": 3, "hidden_size": 32}, tensors)
    with pytest.raises(CheckpointImportError, match="those of 'reactdeit'"):
        from_reference(None, tensors, family="bhvit")
    with pytest.raises(CheckpointImportError, match="num_attention_heads"):
        from_reference(None, tensors)
    with pytest.raises(CheckpointImportError, match="only 1-bit"):
        from_reference({"model": {"family": "binaryvit", "weight_bits": 2}}, tensors)


def test_foreign_tensors_are_refused() -> None:
    model = timm.create_model("test_reactdeit")
    with pytest.raises(CheckpointImportError, match="no known family"):
        from_reference(None, model.state_dict())
    with pytest.raises(CheckpointImportError, match="no known family"):
        from_reference(None, {})


def test_gsb_from_shapes() -> None:
    tensors = gsb_checkpoint()
    assert tensors["blocks.0.attn.move_att.bias"].shape == (3, 27, 27)
    tensors = {name: value.reshape(1) if value.dim() == 0 else value for name, value in tensors.items()}
    model = from_reference(None, tensors | {"patch_embed.proj.init_state": torch.ones(1)})
    # Their offset is added, ours subtracted.
    own = model.state_dict()
    assert torch.equal(own["blocks.0.attn.attention.offset"], -tensors["blocks.0.attn.move_att.bias"])
    assert float(own["blocks.1.attn.value.base_scales"][2]) == float(tensors["blocks.1.attn.clip_value3"])
    assert sum(isinstance(m, QuantLinear) and m.is_binary for m in model.modules()) == 8
    images = torch.randn(3, 3, 15, 15)
    assert model(images).shape == (3, 7)
    model.train()
    cls, dist = model(images)
    assert cls.shape == dist.shape == (3, 7)


def test_registered_name_and_plain_arguments_build_the_same_network() -> None:
    checkpoints = [(NETWORKS[name], checkpoint(name)[1]) for name in ("test_binaryvit_somefp", "test_reactdeit_all")]
    for config, tensors in [*checkpoints, (None, gsb_checkpoint())]:
        name, arguments = model_spec(read_config(config, tensors), tensors)
        again = timm.create_model(name, **json.loads(json.dumps(arguments)))
        imported = from_reference(config, tensors)
        assert imported.pretrained_cfg["input_size"] == again.pretrained_cfg["input_size"]
        again.load_state_dict(imported.state_dict())
        images = torch.randn(2, *again.pretrained_cfg["input_size"])
        assert torch.equal(again.eval()(images), imported(images))


def test_threshold_scope_decides_whether_images_see_each_other() -> None:
    model = from_reference(None, gsb_checkpoint()).double()
    torch.manual_seed(2)
    images = torch.randn(4, 3, 15, 15, dtype=torch.float64) * torch.tensor([0.2, 1.0, 2.0, 5.0]).view(4, 1, 1, 1)
    alone = torch.cat([model(image[None]) for image in images])
    assert not torch.allclose(model(images), alone)
    set_threshold_scope(model, "image")
    torch.testing.assert_close(model(images), alone, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("wrapped", [False, True])
@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_reading_checkpoint_files(tmp_path: Path, wrapped: bool, suffix: str) -> None:
    tensors = {"a.weight": torch.arange(3.0), "b": torch.zeros(2, 2)}
    path = tmp_path / f"checkpoint{suffix}"
    stored = {f"module.{name}": value for name, value in tensors.items()} if wrapped else tensors
    if suffix == ".pth":
        torch.save({"model": stored, "epoch": 3} if wrapped else stored, path)
    else:
        save_file(stored, path)
    found = read_checkpoint(path)
    assert found.keys() == tensors.keys()
    assert all(torch.equal(found[name], tensors[name]) for name in tensors)


class Bomb:
    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (Path("exploded"),))


def test_nothing_in_a_file_is_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save({"model": {"a": torch.zeros(1)}, "args": Bomb()}, tmp_path / "evil.pth")
    with pytest.raises(CheckpointImportError, match=r"evil\.pth"):
        read_checkpoint(tmp_path / "evil.pth")
    (tmp_path / "raw.pth").write_bytes(pickle.dumps(Bomb()))
    with pytest.raises(CheckpointImportError):
        read_checkpoint(tmp_path / "raw.pth")
    assert not (tmp_path / "exploded").exists()


@pytest.mark.parametrize("wrapper", ["params", "teacher", "my_network", "state_dict_ema"])
@pytest.mark.parametrize("prefix", ["backbone.", "encoder.module.", "student."])
def test_wrappers_and_prefixes_of_any_name(tmp_path: Path, wrapper: str, prefix: str) -> None:
    names = ("cls_token", "blocks.0.weight", "head.bias")
    torch.save({wrapper: {prefix + name: torch.ones(2) for name in names}, "epoch": 1}, tmp_path / "net.pth")
    assert tuple(read_checkpoint(tmp_path / "net.pth")) == names
    deeper = {"averaged": {wrapper: {prefix + name: torch.ones(2) for name in names}}, "options": {"lr": 1e-3}}
    torch.save(deeper, tmp_path / "deeper.pth")
    assert tuple(read_checkpoint(tmp_path / "deeper.pth")) == names
    torch.save({"fc.weight": torch.ones(2), "fc.bias": torch.ones(2)}, tmp_path / "layer.pth")
    assert tuple(read_checkpoint(tmp_path / "layer.pth")) == ("fc.weight", "fc.bias")


def test_what_training_scripts_leave_beside_the_weights(tmp_path: Path) -> None:
    network = torch.nn.Linear(2, 2)
    optimizer = torch.optim.Adam(network.parameters())
    network(torch.ones(1, 2)).sum().backward()
    optimizer.step()
    content = {
        "model": network.state_dict(),
        "args": argparse.Namespace(lr=1e-3, epochs=300),
        "optimizer": optimizer.state_dict(),
        "best": np.float64(81.2),
        "epoch": np.int64(3),
    }
    torch.save(content, tmp_path / "checkpoint.pth")
    assert read_checkpoint(tmp_path / "checkpoint.pth").keys() == {"weight", "bias"}


class Whole(torch.nn.Module):
    """Pickled as a whole, it needs its class."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = torch.nn.Linear(2, 2)


def test_nobody_is_told_to_run_the_code(tmp_path: Path, recwarn: pytest.WarningsRecorder) -> None:
    torch.save(Whole(), tmp_path / "whole.pth")
    torch.save({"model": {"a": torch.zeros(1)}, "args": Bomb()}, tmp_path / "evil.pth")
    torch.jit.save(torch.jit.trace(torch.nn.Linear(2, 2), torch.ones(1, 2)), str(tmp_path / "script.pt"))
    recwarn.clear()
    (tmp_path / "raw.bin").write_bytes(pickle.dumps(Bomb()))
    (tmp_path / "nothing.pth").write_bytes(b"")
    expected = {
        "whole.pth": r"holds Python objects \(.*Whole\), whose code is never run; save its state_dict",
        "evil.pth": "holds Python objects .*save its state_dict",
        "script.pt": "TorchScript archive",
        "raw.bin": "save the network's state_dict|save its state_dict",
        "nothing.pth": "is empty",
    }
    for name, message in expected.items():
        with pytest.raises(CheckpointImportError, match=message) as caught:
            read_checkpoint(tmp_path / name)
        assert "weights_only" not in str(caught.value) and "\x1b" not in str(caught.value)
        assert "\n" not in str(caught.value)
    assert not recwarn.list


@pytest.mark.parametrize("content", [b"", b"not a checkpoint", b"PK\x03\x04broken"])
@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_broken_files_are_explained(tmp_path: Path, content: bytes, suffix: str) -> None:
    path = tmp_path / f"broken{suffix}"
    path.write_bytes(content)
    with pytest.raises(CheckpointImportError, match="broken"):
        read_checkpoint(path)
    with pytest.raises(CheckpointImportError, match="no checkpoint file"):
        read_checkpoint(tmp_path / "absent.pth")
    torch.save({"epoch": 3}, tmp_path / "empty.pth")
    with pytest.raises(CheckpointImportError, match="contains no named tensors"):
        read_checkpoint(tmp_path / "empty.pth")
