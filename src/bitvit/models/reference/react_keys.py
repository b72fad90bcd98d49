"""The authors' names of BinaryViT's, ReActDeiT's and BHViT's tensors."""

from collections.abc import Iterator
from typing import Any

from bitvit.layers.react_attention import ReactAttention
from bitvit.layers.react_branches import PoolingBranches, ShiftBranches
from bitvit.layers.window_attention import WindowAttention
from bitvit.models.bhvit import Bhvit
from bitvit.models.binaryvit import BinaryVit
from bitvit.models.reactdeit import ReactDeit
from bitvit.models.reference.keys import AFFINE_LEAVES, RPRELU_LEAVES, PrefixRule


def _unit(ours: str, theirs: str, *, weight: str, shift: str, norm: str, activation: str) -> Iterator[PrefixRule]:
    yield PrefixRule(f"{ours}.linear", theirs, {"weight": f"{weight}.weight", "input_quantizer.shift": shift})
    yield PrefixRule(f"{ours}.norm", f"{theirs}.{norm}")
    yield PrefixRule(f"{ours}.activation", f"{theirs}.{activation}", RPRELU_LEAVES)


def _output_unit(ours: str, affine: str, theirs: str) -> Iterator[PrefixRule]:
    yield from _unit(ours, theirs, weight="dense", shift="move", norm="norm", activation="rprelu")
    yield PrefixRule(affine, f"{theirs}.layerscale", AFFINE_LEAVES)


def _mlp(ours: str, theirs: str) -> Iterator[PrefixRule]:
    yield from _unit(
        f"{ours}.expand", f"{theirs}.intermediate", weight="dense", shift="move", norm="norm", activation="rprelu"
    )
    yield from _output_unit(f"{ours}.contract", f"{ours}.affine", f"{theirs}.output")


def _attention(module: ReactAttention | WindowAttention, ours: str, theirs: str) -> Iterator[PrefixRule]:
    inner = f"{theirs}.attention"
    for name, letter in (("query", "q"), ("key", "k"), ("value", "v")):
        yield from _unit(
            f"{ours}.{name}",
            inner,
            weight=name,
            shift=f"move{letter}",
            norm=f"norm{letter}",
            activation=f"rprelu{letter}",
        )
        yield PrefixRule(f"{ours}.core.{name}", inner, {"shift": f"move{letter}2"})
    yield PrefixRule(
        f"{ours}.core.attention",
        inner,
        {
            "base_clip": "att_prob_clip",
            "base_scale": "att_prob_clip",
            "lower": "att_prob_clip2",
            "upper": "att_prob_clip3",
            "base_step": "att_prob_quantizer.alpha",
            "zero_point": "att_prob_quantizer.zero_point",
        },
    )
    yield PrefixRule(f"{ours}.norm", f"{inner}.norm_context")
    yield PrefixRule(f"{ours}.activation", f"{inner}.rprelu_context", RPRELU_LEAVES)
    yield from _output_unit(f"{ours}.output", f"{ours}.affine", f"{theirs}.output")
    if isinstance(module, WindowAttention):
        yield PrefixRule(f"{ours}.tokens", f"{inner}.token_FA", {"mix": "a1"})
        yield PrefixRule(f"{ours}.tokens.norm", f"{inner}.token_FA.norm")
        yield PrefixRule(f"{ours}.merge", inner, {"share": "parm"})
    elif module.reduce is not None:
        yield from _unit(
            f"{ours}.reduce", inner, weight="reduction", shift="mover", norm="norm_r", activation="rprelur"
        )


def _mixer(ours: str, theirs: str) -> Iterator[PrefixRule]:
    yield PrefixRule(f"{ours}.sign", f"{theirs}.move", {"shift": "bias"})
    yield PrefixRule(f"{ours}.norm", f"{theirs}.norm")
    for index in range(3):
        yield PrefixRule(f"{ours}.convs.{index}", f"{theirs}.cov{index + 1}")
        yield PrefixRule(f"{ours}.activations.{index}", f"{theirs}.act{index + 1}", RPRELU_LEAVES)


def _branches(module: object, ours: str, theirs: str) -> Iterator[PrefixRule]:
    if not isinstance(module, PoolingBranches | ShiftBranches):
        return
    for index, kernel in enumerate(module.kernels):
        yield PrefixRule(f"{ours}.along_height.{index}", f"{theirs}.layerscale_h{kernel}", AFFINE_LEAVES)
        yield PrefixRule(f"{ours}.along_width.{index}", f"{theirs}.layerscale_w{kernel}", AFFINE_LEAVES)
        yield PrefixRule(f"{ours}.along_channels.{index}", f"{theirs}.layerscale_ch{kernel}", AFFINE_LEAVES)


def _downsampling(ours: str, theirs: str) -> Iterator[PrefixRule]:
    yield PrefixRule(f"{ours}.norm_in", f"{theirs}.norm0")
    yield PrefixRule(f"{ours}.conv", theirs, {"weight": "proj.weight", "input_quantizer.shift": "move"})
    yield PrefixRule(f"{ours}.norm_out", f"{theirs}.norm")
    yield PrefixRule(f"{ours}.activation", f"{theirs}.rprelu", RPRELU_LEAVES)
    yield PrefixRule(f"{ours}.position", theirs, {"embedding": "position_embeddings"})


def _ends() -> Iterator[PrefixRule]:
    yield PrefixRule("norm", "vit.layernorm")
    yield PrefixRule("head", "classifier")


def _block_norms(ours: str, theirs: str) -> Iterator[PrefixRule]:
    yield PrefixRule(f"{ours}.norm1", f"{theirs}.layernorm_before")
    yield PrefixRule(f"{ours}.norm2", f"{theirs}.layernorm_after")


def _block(block: Any, ours: str, theirs: str) -> Iterator[PrefixRule]:
    yield from _block_norms(ours, theirs)
    yield from _attention(block.attention, f"{ours}.attention", f"{theirs}.attention")
    yield from _mlp(f"{ours}.mlp", theirs)
    yield from _branches(block.branches, f"{ours}.branches", theirs)


def reactdeit_rules(model: ReactDeit) -> Iterator[PrefixRule]:
    """Yield the rules of a ReActDeiT."""
    yield PrefixRule("", "vit.embeddings", {"class_token": "cls_token"})
    yield PrefixRule("patch_embed.proj", "vit.embeddings.patch_embeddings.projection")
    yield PrefixRule("position", "vit.embeddings", {"embedding": "position_embeddings"})
    blocks: Any = model.blocks
    for index, block in enumerate(blocks):
        ours, theirs = f"blocks.{index}", f"vit.encoder.layer.{index}"
        yield from _block(block, ours, theirs)
    yield from _ends()


def binaryvit_rules(model: BinaryVit) -> Iterator[PrefixRule]:
    """Yield the rules of a BinaryViT; the authors number its blocks through all stages."""
    yield PrefixRule("stem.conv", "vit.embeddings.patch_embeddings.projection")
    yield PrefixRule("stem.norm", "vit.embeddings.norm")
    yield PrefixRule("stem.position", "vit.embeddings", {"embedding": "position_embeddings"})
    number = 0
    stages: Any = model.stages
    for index, stage in enumerate(stages):
        yield from _downsampling(f"stages.{index}.downsampling", f"vit.encoder.patch_embed{index}")
        for inner, block in enumerate(stage.blocks):
            ours, theirs = f"stages.{index}.blocks.{inner}", f"vit.encoder.layer.{number}"
            number += 1
            yield from _block(block, ours, theirs)
    yield from _ends()


def bhvit_rules(model: Bhvit) -> Iterator[PrefixRule]:
    """Yield the rules of a BHViT; the authors number convolution blocks (A) and attention blocks (B) separately."""
    embeddings = "vit.embeddings"
    yield PrefixRule("stem.conv", f"{embeddings}.patch_embeddings.proj")
    yield PrefixRule("stem.norm", f"{embeddings}.patch_embeddings.norm")
    yield PrefixRule("stem.position", embeddings, {"embedding": "position_embeddings"}, layout="map")
    numbers = {"A": 0, "B": 0}
    stages: Any = model.stages
    for index, stage in enumerate(stages):
        yield from _downsampling(f"stages.{index}.downsampling", f"vit.encoder.patch_embed{index}")
        for inner, block in enumerate(stage.blocks):
            attends = isinstance(block.mixer, WindowAttention)
            kind = "B" if attends else "A"
            ours, theirs = f"stages.{index}.blocks.{inner}", f"vit.encoder.layer{kind}.{numbers[kind]}"
            numbers[kind] += 1
            yield from _block_norms(ours, theirs)
            if attends:
                yield from _attention(block.mixer, f"{ours}.mixer", f"{theirs}.attention")
            else:
                yield from _mixer(f"{ours}.mixer", f"{theirs}.GC")
            yield from _mlp(f"{ours}.mlp", theirs)
            yield from _branches(block.branches, f"{ours}.branches", theirs)
    yield from _ends()
