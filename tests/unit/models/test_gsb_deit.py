"""Every registered test model: forward, backward, both stages, independence of the batch."""

import pytest
import timm
import torch
from torch import nn

import bitvit
from bitvit.errors import UsageError
from bitvit.layers import calibrate
from bitvit.models import create_model, list_models, no_weight_decay, set_attention_phase, set_stage, teacher_of
from bitvit.quantizers import XnorAttention

TEST_MODELS = [name for name in list_models("test_*") if name.startswith(("test_gsb_deit", "test_binary_deit"))]
SEED = 1234


def build(name: str, **kwargs: object) -> tuple[nn.Module, torch.Tensor]:
    torch.manual_seed(SEED)
    model = create_model(name, **kwargs)
    images = torch.randn(6, *model.pretrained_cfg["input_size"])  # type: ignore[union-attr, index]
    calibrate(model, images)
    return model, images


def loss_of(outputs: torch.Tensor | tuple[torch.Tensor, ...]) -> torch.Tensor:
    parts = outputs if isinstance(outputs, tuple) else (outputs,)
    return torch.stack([part.square().mean() for part in parts]).sum()


def test_the_expected_models_are_registered() -> None:
    names = set(list_models())
    for size in ("tiny_patch16_224", "small_patch16_224", "base_patch16_224", "micro_patch4_32"):
        for family in ("gsb_deit", "binary_deit"):
            assert f"{family}_{size}" in names
            assert timm.is_model(teacher_of(f"{family}_{size}") or "")
    assert "deit_micro_distilled_patch4_32" in names
    assert len(TEST_MODELS) >= 15
    assert all(timm.is_model(teacher_of(name) or "") for name in TEST_MODELS)
    assert not any(name.startswith("test_") for name in names)
    with pytest.raises(UsageError, match="unknown model"):
        create_model("gsb_deit_huge")


@pytest.mark.parametrize("stage", ["weights", "full"])
@pytest.mark.parametrize("name", TEST_MODELS)
def test_gradients_reach_every_trainable_parameter(name: str, stage: str) -> None:
    model, images = build(name)
    set_stage(model, stage)  # type: ignore[arg-type]
    model.train()
    outputs = model(images)
    assert isinstance(outputs, tuple) == (teacher_of(name) != "deit_test_patch4_16")
    loss_of(outputs).backward()
    for parameter_name, parameter in model.named_parameters():
        if parameter.requires_grad:
            assert parameter.grad is not None, parameter_name
            assert torch.isfinite(parameter.grad).all(), parameter_name
        else:
            assert parameter.grad is None, parameter_name
    silent = [n for n, p in model.named_parameters() if p.grad is not None and not p.grad.any()]
    assert not silent, f"seed {SEED}"


WITH_PHASES = [(name, 1) for name in TEST_MODELS] + [(name, 2) for name in TEST_MODELS if "binary_deit" in name]


@pytest.mark.parametrize(("name", "phase"), WITH_PHASES)
def test_logits_do_not_depend_on_the_batch(name: str, phase: int) -> None:
    model, images = build(name)
    set_attention_phase(model, phase)  # type: ignore[arg-type]
    model.double().eval()
    images = images.double()
    # A neighbour with extreme values would move thresholds and statistics if they were taken over the batch.
    images[3] *= 50
    with torch.no_grad():
        together = model(images)
        alone = torch.cat([model(image[None]) for image in images])
    # Float64: the rounding of other GEMM shapes (1e-16) flips no sign, so equal up to rounding means equal decisions.
    torch.testing.assert_close(together, alone, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("name", ["test_gsb_deit", "test_binary_deit_odd"])
def test_evaluation_averages_the_heads(name: str) -> None:
    model, images = build(name)
    model.train()
    classes, distilled = model(images)
    torch.testing.assert_close(model.eval()(images), (classes + distilled) / 2)


def test_overrides_reach_the_model() -> None:
    model, _ = build("test_gsb_deit", num_classes=3, img_size=24, scheme={"offset": "row"}, drop_path_rate=0.1)
    assert model.pretrained_cfg["input_size"] == (3, 24, 24)  # type: ignore[union-attr, index]
    assert model.binarization_scheme.offset == "row"  # type: ignore[union-attr]
    assert model.eval()(torch.randn(1, 3, 24, 24)).shape == (1, 3)
    baseline = create_model("test_gsb_deit", scheme="baseline", distilled=False)
    assert any(isinstance(module, XnorAttention) for module in baseline.modules())
    assert baseline.train()(torch.randn(2, 3, 16, 16)).shape == (2, 10)


def test_attention_phase_is_saved_with_the_model() -> None:
    model, _ = build("test_binary_deit")
    set_attention_phase(model, 2)
    other = create_model("test_binary_deit")
    other.load_state_dict(model.state_dict())
    phases = [int(m.phase) for m in other.modules() if isinstance(m, XnorAttention)]
    assert phases == [2, 2]
    with pytest.raises(UsageError, match="choose 1 or 2"):
        set_attention_phase(model, 3)  # type: ignore[arg-type]


def test_weight_decay_spares_scales_shifts_and_offsets() -> None:
    model, _ = build("test_gsb_deit")
    decayed = {n for n, _ in model.named_parameters()} - no_weight_decay(model)
    assert {name.rpartition(".")[2] for name in decayed} == {"weight"}
    assert not any("norm" in name for name in decayed)
    assert "blocks.0.attn.qkv.weight" in decayed


@pytest.mark.parametrize("name", ["test_reactdeit", "test_bhvit", "test_binaryvit"])
def test_weight_decay_spares_tokens_and_position_embeddings(name: str) -> None:
    model, _ = build(name)
    names = {n for n, _ in model.named_parameters()}
    decayed = names - no_weight_decay(model)
    spared = {n for n in names if n.rpartition(".")[2] in ("embedding", "class_token")}
    assert spared
    assert not spared & decayed
    assert {n.rpartition(".")[2] for n in decayed} == {"weight"}


def test_small_and_micro_have_the_papers_shapes() -> None:
    small = create_model("gsb_deit_small_patch16_224")
    binary_weights = sum(
        p.numel() for n, p in small.named_parameters() if n.endswith("weight") and "blocks" in n and p.ndim == 2
    )
    assert binary_weights == 12 * 12 * 384 * 384
    assert small.get_parameter("blocks.0.attn.attention.offset").shape == (6, 198, 198)
    assert small.get_parameter("pos_embed").shape == (1, 198, 384)
    micro = create_model("gsb_deit_micro_patch4_32")
    assert micro.get_parameter("blocks.3.attn.attention.offset").shape == (3, 66, 66)


@pytest.mark.parametrize("name", ["test_gsb_deit_many_components", "test_binary_deit"])
def test_a_block_compiles_to_one_graph(name: str) -> None:
    """No data-dependent branches, and the same training step (``aot_eager``: no code generation needed)."""
    model, _ = build(name)
    block = model.get_submodule("blocks.0").train()
    tokens, channels = model.get_parameter("pos_embed").shape[1:]
    x = torch.randn(3, tokens, channels)
    results = []
    for run in (block, torch.compile(block, backend="aot_eager", fullgraph=True)):
        block.zero_grad()
        y = run(x)
        y.square().sum().backward()
        results.append([y.detach(), *(p.grad.clone() for p in block.parameters() if p.grad is not None)])
    assert len(results[0]) > 10
    # The compiler may sum in another order.
    torch.testing.assert_close(results[0], results[1], rtol=1e-4, atol=1e-5)


def test_top_level_names() -> None:
    assert bitvit.create_model is create_model


@pytest.mark.parametrize("name", ["gsb_deit_small_patch16_224", "test_bhvit", "test_binaryvit"])
def test_that_there_are_no_published_weights_is_said(name: str) -> None:
    with pytest.raises(UsageError, match=rf"{name}: there are no published weights yet; use pretrained=False"):
        timm.create_model(name, pretrained=True)
