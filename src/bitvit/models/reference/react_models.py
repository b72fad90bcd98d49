"""The arguments with which BinaryViT, ReActDeiT and BHViT fit a checkpoint of the authors."""

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from bitvit.models.reference.config import ReferenceConfig, as_list, count_indices, default_heads, square_side
from bitvit.models.reference.errors import CheckpointImportError

Tensors = Mapping[str, Tensor]


def _tensor(state_dict: Tensors, name: str) -> Tensor:
    try:
        return state_dict[name]
    except KeyError:
        raise CheckpointImportError(f"the checkpoint lacks {name}, without which its shape is unknown") from None


def _common(config: ReferenceConfig, state_dict: Tensors, kind: str, first_block: str) -> dict[str, Any]:
    """Arguments that all three networks share."""
    args = config.args
    kernels = []
    for size in (3, 5):
        present = f"{first_block}.layerscale_h{size}.alpha" in state_dict
        if args.get(f"{kind}{size}", present):
            kernels.append(size)
    affine = f"{first_block}.output.layerscale.alpha" in state_dict
    batch_norm = "vit.layernorm.running_mean" in state_dict
    return {
        "num_classes": _tensor(state_dict, "classifier.weight").shape[0],
        "norm": "batch" if args.get("replace_ln_bn", batch_norm) else "layer",
        "norm_eps": float(config.network.get("layer_norm_eps", 1e-5)),
        "affine": not args.get("disable_layerscale", not affine),
        "branch_kernels": tuple(kernels),
        "recu": bool(args.get("recu", False)),
        "drop_path_rate": float(args.get("drop_path", config.network.get("drop_path", 0.0))),
        "sign_of_zero": "zero",
    }


def _stem(network: Mapping[str, Any], weight: Tensor, tokens: int, name: str) -> dict[str, Any]:
    patch = int(weight.shape[-1])
    size = network.get("image_size")
    if size is None:
        size = square_side(tokens, name) * patch
    return {"img_size": size, "patch_size": int(network.get("patch_size", patch)), "in_chans": int(weight.shape[1])}


def reactdeit_arguments(config: ReferenceConfig, state_dict: Tensors) -> dict[str, Any]:
    """Return the arguments of `ReactDeit` that the config and the shapes tell."""
    network, first = config.network, "vit.encoder.layer.0"
    token = "vit.embeddings.cls_token" in state_dict
    token = bool(config.args.get("enable_cls_token", token))
    embedding = _tensor(state_dict, "vit.embeddings.position_embeddings")
    weight = _tensor(state_dict, "vit.embeddings.patch_embeddings.projection.weight")
    width = int(network.get("hidden_size", weight.shape[0]))
    hidden = _tensor(state_dict, f"{first}.intermediate.dense.weight").shape[0]
    return {
        **_stem(network, weight, embedding.shape[1] - token, "the position embedding"),
        "embed_dim": width,
        "depth": int(network.get("num_hidden_layers", count_indices(state_dict, "vit.encoder.layer."))),
        "num_heads": int(network["num_attention_heads"] if "num_attention_heads" in network else default_heads(width)),
        "mlp_dim": int(network.get("intermediate_size", hidden)),
        "global_pool": "token" if token else "avg",
        **_common(config, state_dict, "avg_res", first),
    }


def _stage_shape(config: ReferenceConfig, widths: list[int], hidden: list[int]) -> dict[str, Any]:
    """Widths, depths and FFN widths of the stages, from each block's width and FFN width in order."""
    network = config.network
    distinct = sorted(set(widths))
    count = len(network.get("depths", distinct))
    dims = as_list(network.get("hidden_size", distinct), count)
    depths = as_list(network.get("depths", [widths.count(width) for width in distinct]), count)
    firsts = [hidden[widths.index(width)] for width in distinct] if len(distinct) == count else hidden[:count]
    mlp_dims = as_list(network.get("intermediate_size", firsts), count)
    return {"embed_dims": dims, "depths": depths, "mlp_dims": mlp_dims}


def _block_widths(state_dict: Tensors, prefixes: list[str]) -> tuple[list[int], list[int]]:
    weights = [_tensor(state_dict, f"{prefix}.intermediate.dense.weight") for prefix in prefixes]
    return [int(w.shape[1]) for w in weights], [int(w.shape[0]) for w in weights]


def binaryvit_arguments(config: ReferenceConfig, state_dict: Tensors) -> dict[str, Any]:
    """Return the arguments of `BinaryVit` that the config and the shapes tell."""
    network, prefix = config.network, "vit.encoder.layer."
    blocks = [f"{prefix}{index}" for index in range(count_indices(state_dict, prefix))]
    shape = _stage_shape(config, *_block_widths(state_dict, blocks))
    count = len(shape["depths"])
    heads = network.get("num_attention_heads")
    if heads is None:
        heads = [default_heads(width) for width in shape["embed_dims"]]
    reductions = network.get("reduction_ratio")
    if reductions is None:
        reductions = _default_reductions(state_dict, shape["depths"], prefix)
    embedding = _tensor(state_dict, "vit.embeddings.position_embeddings")
    weight = _tensor(state_dict, "vit.embeddings.patch_embeddings.projection.weight")
    binary = "vit.encoder.patch_embed1.move" in state_dict
    return {
        **_stem(network, weight, embedding.shape[1], "the position embedding"),
        **shape,
        "num_heads": as_list(heads, count),
        "reductions": as_list(reductions, count),
        "binary_downsampling": not config.args.get("some_fp", not binary),
        **_common(config, state_dict, "avg_res", blocks[0]),
    }


def _default_reductions(state_dict: Tensors, depths: list[int], prefix: str) -> list[int]:
    """The published reductions, checked against which stages have a reduction layer."""
    published = (8, 4, 1, 1)
    result, number = [], 0
    for index, depth in enumerate(depths):
        reduced = f"{prefix}{number}.attention.attention.reduction.weight" in state_dict
        ratio = published[index] if index < len(published) else 1
        if reduced != (ratio > 1):
            raise CheckpointImportError(
                "the reductions differ from the published 8, 4, 1, 1 and cannot be inferred from the tensors: "
                "give the config with reduction_ratio"
            )
        result.append(ratio)
        number += depth
    return result


def bhvit_arguments(config: ReferenceConfig, state_dict: Tensors) -> dict[str, Any]:
    """Return the arguments of `Bhvit` that the config and the shapes tell."""
    network = config.network
    blocks = []
    for kind in ("A", "B"):
        prefix = f"vit.encoder.layer{kind}."
        blocks += [f"{prefix}{index}" for index in range(count_indices(state_dict, prefix))]
    shape = _stage_shape(config, *_block_widths(state_dict, blocks))
    dims = shape["embed_dims"]
    attention = "vit.encoder.layerB.0.attention.attention"
    banded = bool(config.args.get("gsb", f"{attention}.att_prob_clip2" in state_dict))
    heads = network.get("num_attention_heads")
    if heads is None:
        heads = _bhvit_heads(state_dict, dims, shape["depths"])
    embedding = _tensor(state_dict, "vit.embeddings.position_embeddings")
    tokens = embedding.shape[-1] * embedding.shape[-2] if embedding.dim() == 4 else embedding.shape[1]
    weight = _tensor(state_dict, "vit.embeddings.patch_embeddings.proj.weight")
    binary = "vit.encoder.patch_embed1.move" in state_dict
    return {
        **_stem(network, weight, int(tokens), "the position embedding"),
        **shape,
        "num_heads": as_list(heads, len(dims)),
        "attention": "banded" if banded else "decomposed",
        "binary_downsampling": not config.args.get("some_fp", not binary),
        **_common(config, state_dict, "shift", blocks[0]),
    }


def _bhvit_heads(state_dict: Tensors, dims: list[int], depths: list[int]) -> list[int]:
    """Heads of each stage: from the quantizer's steps, one for each head, else 64 channels per head."""
    heads, number = [1] * min(2, len(dims)), 0
    for index in range(2, len(dims)):
        step = state_dict.get(f"vit.encoder.layerB.{number}.attention.attention.att_prob_quantizer.alpha")
        heads.append(default_heads(dims[index]) if step is None else step.numel())
        number += depths[index]
    return heads
