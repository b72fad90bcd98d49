"""Building the GSB release's networks and naming their tensors."""

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any, Literal

from timm.models import generate_default_cfgs, register_model
from timm.models.deit import VisionTransformerDistilled
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn

from bitvit.layers import QuantConv2d, QuantLinear, TokenBatchNorm
from bitvit.models.entrypoints import as_pair, model_cfg
from bitvit.models.reference.config import ReferenceConfig, count_indices, square_side
from bitvit.models.reference.errors import CheckpointImportError
from bitvit.models.reference.gsb_layers import (
    ReleaseMlp,
    ReleaseWeightAttention,
    release_attention_layer,
    release_weight_linear,
)
from bitvit.models.reference.gsb_quantizers import (
    ReleaseAttention,
    ReleaseStepActivation,
    ReleaseStepWeight,
    ReleaseValue,
    Scope,
)
from bitvit.models.reference.keys import PrefixRule

Tensors = Mapping[str, Tensor]
GsbStage = Literal["full", "weights"]

_MODULES: dict[str, GsbStage] = {"One_bit_vit_new": "full", "One_bit_vit_weight": "weights"}


def gsb_stage(config: ReferenceConfig, state_dict: Tensors) -> GsbStage:
    """Return which of the release's two training stages a checkpoint is of.

    Raises:
        CheckpointImportError: the config names an unknown module.
    """
    detected: GsbStage = "full" if "blocks.0.attn.clip_attn" in state_dict else "weights"
    if config.module is None:
        return detected
    if config.module not in _MODULES:
        raise CheckpointImportError(f"unknown module {config.module!r}; known are {', '.join(_MODULES)}")
    return _MODULES[config.module]


def gsb_arguments(config: ReferenceConfig, state_dict: Tensors) -> dict[str, Any]:
    """Return the arguments of `build_release_deit` that the config and the shapes tell.

    Raises:
        CheckpointImportError: a tensor that shows the shape is missing.
    """
    network = config.network
    try:
        patch = state_dict["patch_embed.proj.weight"]
        tokens = state_dict["pos_embed"].shape[1]
        hidden, width = state_dict["blocks.0.mlp.fc1.weight"].shape
        heads = state_dict["blocks.0.attn.move_q.bias"].shape[0]
        classes = state_dict["head.weight"].shape[0]
    except KeyError as error:
        raise CheckpointImportError(
            f"the checkpoint lacks {error.args[0]}, without which its shape is unknown"
        ) from None
    distilled = bool(network.get("distilled", "dist_token" in state_dict))
    size = network.get("input_size", network.get("image_size"))
    if size is None:
        size = square_side(tokens - 1 - distilled, "pos_embed") * int(patch.shape[-1])
    return {
        "img_size": [int(side) for side in size] if isinstance(size, Sequence) else int(size),
        "patch_size": int(network.get("patch_size", patch.shape[-1])),
        "in_chans": int(network.get("in_chans", patch.shape[1])),
        "num_classes": int(network.get("num_classes", classes)),
        "embed_dim": int(network.get("hidden_size", width)),
        "depth": int(network.get("depth", count_indices(state_dict, "blocks."))),
        "num_heads": int(network.get("num_attention_heads", heads)),
        "mlp_ratio": float(network.get("mlp_ratio", hidden / width)),
        "qkv_bias": bool(network.get("qkv_bias", "blocks.0.attn.qkv.bias" in state_dict)),
        "drop_path_rate": float(network.get("drop_path_rate", 0.0)),
        "norm_eps": float(network.get("layer_norm_eps", 1e-12)),
        "distilled": distilled,
        "stage": gsb_stage(config, state_dict),
    }


def build_release_deit(
    stage: GsbStage = "full",
    distilled: bool = True,
    embed_dim: int = 384,
    num_heads: int = 6,
    qkv_bias: bool = True,
    norm_eps: float = 1e-12,
    threshold_scope: Scope = "batch",
    **arguments: Any,
) -> VisionTransformer:
    """Build timm's DeiT with the layers of the GSB release.

    Args:
        stage: ``"full"``: binary weights and activations, 8-bit ends. ``"weights"``: fc1 and fc2 have binary weights,
            all else is in full precision, and a BatchNorm follows the patch convolution.
        distilled: with a distillation token and head.
        embed_dim: as of timm's network.
        num_heads: as of timm's network.
        qkv_bias: as of timm's network.
        norm_eps: epsilon of its LayerNorms.
        threshold_scope: see `set_threshold_scope`.
        **arguments: others of timm's ``VisionTransformer``.
    """
    network = VisionTransformerDistilled if distilled else VisionTransformer
    model: VisionTransformer = network(
        embed_dim=embed_dim,
        num_heads=num_heads,
        qkv_bias=qkv_bias,
        norm_layer=partial(nn.LayerNorm, eps=norm_eps),
        **arguments,
    )
    assert model.pos_embed is not None
    tokens = model.pos_embed.shape[1]
    blocks: Any = model.blocks
    for block in blocks:
        hidden = int(block.mlp.fc1.out_features)
        if stage == "full":
            block.attn = release_attention_layer(embed_dim, num_heads, tokens, qkv_bias)
            block.mlp = ReleaseMlp(embed_dim, hidden)
        else:
            block.attn = ReleaseWeightAttention(embed_dim, num_heads, qkv_bias)
            block.mlp.fc1 = release_weight_linear(embed_dim, hidden)
            block.mlp.fc2 = release_weight_linear(hidden, embed_dim)
    if stage == "full":
        weight = ReleaseStepWeight(embed_dim)
        model.patch_embed.proj = QuantConv2d.from_float(model.patch_embed.proj, weight=weight, input=None)
        for name in ("head", "head_dist"):
            head = getattr(model, name, None)
            if isinstance(head, nn.Linear):
                inputs = ReleaseStepActivation(embed_dim)
                setattr(model, name, QuantLinear.from_float(head, weight=ReleaseStepWeight(), input=inputs))
    else:
        model.patch_embed.norm = TokenBatchNorm(embed_dim)
    if isinstance(model, VisionTransformerDistilled):
        model.set_distilled_training(True)
    set_threshold_scope(model, threshold_scope)
    return model


def set_threshold_scope(model: nn.Module, scope: Scope) -> None:
    """Take the maxima of attention and values over the whole ``"batch"`` (the release) or over each ``"image"``."""
    for layer in model.modules():
        if isinstance(layer, ReleaseAttention | ReleaseValue):
            layer.threshold_scope = scope


def gsb_rules(model: VisionTransformer) -> Iterator[PrefixRule]:
    """Yield the rules of a GSB network."""
    for name in ("cls_token", "dist_token", "pos_embed"):
        yield PrefixRule("", "", {name: name})
    shift = {"weight": "weight", "bias": "bias", "input_quantizer.shift": "move.bias"}
    patch = {"weight": "weight", "bias": "bias", "weight_quantizer.base_step": "alpha"}
    yield PrefixRule("patch_embed.proj", "patch_embed.proj", patch)
    yield PrefixRule("patch_embed.norm", "patch_embed.norm")
    yield PrefixRule("norm", "norm")
    for head in ("head", "head_dist"):
        steps = {"input_quantizer.base_step": "input_clip_val", "weight_quantizer.base_step": "weight_clip_val"}
        yield PrefixRule(head, head, shift | steps)
    linear = shift | {"input_quantizer.base_scale": "input_clip_val"}
    for index in range(len(model.blocks)):
        block = f"blocks.{index}"
        for name in ("norm1", "norm2"):
            yield PrefixRule(f"{block}.{name}", f"{block}.{name}")
        for name in ("attn.qkv", "attn.proj", "mlp.fc1", "mlp.fc2"):
            yield PrefixRule(f"{block}.{name}", f"{block}.{name}", linear)
        attention = f"{block}.attn"
        for name, letter in (("query", "q"), ("key", "k"), ("value", "v")):
            yield PrefixRule(attention, attention, {f"{name}_shift": f"move_{letter}.bias"})
            yield PrefixRule(
                f"{attention}.{name}", attention, {"shift": f"move_{letter}.bias", "base_scale": f"clip_{name}"}
            )
        # The release adds its offsets; ours are subtracted.
        yield PrefixRule(f"{attention}.attention", attention, {"offset": "move_att.bias"}, negated=True)
        yield PrefixRule(f"{attention}.value", attention, {"omega": "move_v.bias"}, negated=True)
        for part, name in (("attention", "clip_attn"), ("value", "clip_value")):
            stacked = (name, f"{name}2", f"{name}3")
            yield PrefixRule(f"{attention}.{part}", attention, {"base_scales": stacked})


default_cfgs = generate_default_cfgs({"gsb_release_deit.untrained": model_cfg(224, 1000, "patch_embed.proj")})

_OF_TIMM = ("pretrained_cfg", "pretrained_cfg_overlay", "cache_dir")


@register_model
def gsb_release_deit(pretrained: bool = False, **kwargs: Any) -> VisionTransformer:
    """DeiT-Small with the arithmetic of the GSB release, for its checkpoints only; see `build_release_deit`."""
    del pretrained  # there are no weights under this name
    arguments = {name: value for name, value in kwargs.items() if name not in _OF_TIMM}
    arguments.setdefault("img_size", 224)
    model = build_release_deit(**arguments)
    cfg = model_cfg(224, model.num_classes, "patch_embed.proj")
    cfg["input_size"] = (arguments.get("in_chans", 3), *as_pair(arguments["img_size"]))
    vars(model)["pretrained_cfg"] = vars(model)["default_cfg"] = cfg
    return model
