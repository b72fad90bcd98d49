"""BHViT: a binary hybrid pyramid, convolutions first and window attention later (CVPR 2025)."""

from collections.abc import Sequence
from typing import Any, Literal, get_args

import torch
from torch import Tensor, nn

from bitvit.errors import UsageError
from bitvit.layers.dilated_mixer import DilatedMixer
from bitvit.layers.quant_conv import QuantConv2d
from bitvit.layers.quant_linear import QuantLinear
from bitvit.layers.react_branches import ShiftBranches
from bitvit.layers.react_linear import ReactOptions
from bitvit.layers.token_norm import NormKind
from bitvit.layers.window_attention import Summaries, WindowAttention
from bitvit.models.entrypoints import Variant, build_network, model_cfg, register_family
from bitvit.models.pyramid import FEATURES, Pyramid, ResidualBlock
from bitvit.quantizers.banded_mask import BandedAttention
from bitvit.quantizers.clipped_mask import CalibratedClip
from bitvit.quantizers.decomposition import DecomposedAttention
from bitvit.quantizers.estimator import AttentionEstimator
from bitvit.quantizers.triangular_sign import SignOfZero

CONVOLUTION_STAGES = 2
"""Stages of the hybrid that mix tokens with `DilatedMixer`; the later ones attend in windows."""

Mixer = Literal["hybrid", "convolution", "attention"]
Attention = Literal["decomposed", "banded", "binary"]


class BhvitBlock(ResidualBlock):
    """One block: a token mixer and an FFN, each with a residual; shift branches beside the FFN.

    ``x = x + mixer(norm1(x))``; ``h = norm2(x)``; ``x = x + mlp(h) + branches(h)``.

    Args:
        channels: C.
        hidden: width of the FFN.
        mixer: module from map to map, `DilatedMixer` or `WindowAttention`.
        branch_kernels: sizes of the shift branches, empty for none.
        affine: scale and shift every output (`ChannelAffine`).
        drop_path: probability of stochastic depth.
        options: shared choices of the network.

    Shape: map ``[B, H, W, C] -> [B, H, W, C]``.
    """

    mixer_name = "mixer"
    mixer: nn.Module

    def __init__(
        self,
        channels: int,
        hidden: int,
        mixer: nn.Module,
        options: ReactOptions,
        *,
        branch_kernels: Sequence[int] = (3, 5),
        affine: bool = True,
        drop_path: float = 0.0,
    ) -> None:
        branches = ShiftBranches(channels, branch_kernels, affine=affine) if branch_kernels else None
        super().__init__(mixer, channels, hidden, options, branches=branches, affine=affine, drop_path=drop_path)

    def mix(self, x: Tensor) -> Tensor:
        """Mix the tokens of a map."""
        result: Tensor = self.mixer(x)
        return result


class Bhvit(Pyramid):
    """BHViT: dilated binary convolutions in the first two stages, window attention in the later ones.

    Image sizes: the maps of the attention stages must be multiples of the window: multiples of 224 for the published
    shape (patch 4, window 7, four stages).

    Args:
        img_size: height and width of the images.
        patch_size: kernel and stride of the stem.
        in_chans: image channels.
        num_classes: classes; 0 removes the head.
        embed_dims: widths of the stages, multiples of 4, each a multiple of the one before.
        depths: blocks of each stage.
        num_heads: attention heads of each stage (stages with convolutions do not use theirs).
        mlp_dims: FFN widths, multiples of the stage's width.
        window_size: side of the attention windows, one number or one for each stage.
        attention: ``"decomposed"`` (quantization decomposition), ``"banded"`` (GSB) or ``"binary"`` (one bit).
        mixer: ``"hybrid"``, or for comparison ``"convolution"`` or ``"attention"`` in all stages.
        summaries: of windows, ``"mixed"`` (maximum and average) or ``"average"``.
        branch_kernels: sizes of the shift branches, of 3 and 5; empty for none.
        affine: scale and shift before residual connections and on branches.
        norm: ``"batch"`` (published) or ``"layer"``.
        norm_eps: its epsilon.
        recu: ReCU gradients for linear weights.
        binary_downsampling: False keeps the layers between stages in full precision (``somefp``).
        drop_path_rate: stochastic depth of the last block, rising linearly from 0.
        sign_of_zero: ``"zero"`` for the authors' checkpoints only.
        drop_rate: dropout before the head.

    Raises:
        UsageError: sizes that do not fit each other.

    Source: BHViT (docs/models.md, sections 3 and 5).
    """

    stem_gelu = True
    centre_downsampling = True

    def __init__(
        self,
        img_size: int | Sequence[int] = 224,
        patch_size: int = 4,
        in_chans: int = 3,
        num_classes: int = 1000,
        embed_dims: Sequence[int] = (64, 128, 256, 512),
        depths: Sequence[int] = (3, 4, 8, 4),
        num_heads: Sequence[int] = (1, 1, 4, 8),
        mlp_dims: Sequence[int] = (512, 1024, 1024, 2048),
        window_size: int | Sequence[int] = 7,
        attention: Attention = "decomposed",
        mixer: Mixer = "hybrid",
        summaries: Summaries = "mixed",
        branch_kernels: Sequence[int] = (3, 5),
        affine: bool = True,
        norm: NormKind = "batch",
        norm_eps: float = 1e-5,
        recu: bool = False,
        binary_downsampling: bool = True,
        drop_path_rate: float = 0.0,
        sign_of_zero: SignOfZero = "plus",
        drop_rate: float = 0.0,
    ) -> None:
        for name, value, choices in (
            ("attention", attention, get_args(Attention)),
            ("mixer", mixer, get_args(Mixer)),
            ("summaries", summaries, get_args(Summaries)),
        ):
            if value not in choices:
                raise UsageError(f"{name} is {value!r}; choose one of {', '.join(choices)}")
        convolutions = {"hybrid": CONVOLUTION_STAGES, "convolution": len(depths), "attention": 0}[mixer]
        options = ReactOptions(norm=norm, norm_eps=norm_eps, recu=recu, sign_of_zero=sign_of_zero)
        windows = [window_size] * len(depths) if isinstance(window_size, int) else list(window_size)

        def make_block(stage: int, drop_path: float) -> BhvitBlock:
            channels, heads = embed_dims[stage], num_heads[stage]
            tokens: nn.Module
            if stage < convolutions:
                tokens = DilatedMixer(channels, options)
            else:
                tokens = WindowAttention(
                    *(channels, heads, windows[stage], options),
                    attention=_attention_estimator(attention, heads),
                    affine=affine,
                    summaries=summaries,
                )
            return BhvitBlock(
                *(channels, mlp_dims[stage], tokens, options),
                branch_kernels=branch_kernels,
                affine=affine,
                drop_path=drop_path,
            )

        super().__init__(
            make_block,
            options,
            img_size=img_size,
            patch_size=patch_size,
            in_chans=in_chans,
            num_classes=num_classes,
            embed_dims=embed_dims,
            depths=depths,
            multiples=[1 if i < convolutions else window for i, window in enumerate(windows)],
            binary_downsampling=binary_downsampling,
            drop_path_rate=drop_path_rate,
            drop_rate=drop_rate,
        )


def _attention_estimator(kind: Attention, num_heads: int) -> AttentionEstimator:
    if kind == "banded":
        return BandedAttention()
    return CalibratedClip() if kind == "binary" else DecomposedAttention(num_heads)


def weight_oscillation_loss(model: nn.Module) -> Tensor:
    """Return BHViT's regularizer against weight oscillation: the mean over binary layers of ``mean(| |w| - 1 |)``.

    Weighted 0.1 beside 0.9 of the distillation loss in the published recipe (docs/models.md, section 5).

    Args:
        model: any network; its linear layers and convolutions with one scale for each output channel count.

    Returns:
        A scalar, 0 for a network without such layers.
    """
    layers = [m for m in model.modules() if isinstance(m, QuantLinear | QuantConv2d) and m.is_binary]
    if not layers:
        return torch.zeros(())
    return torch.stack([(layer.weight.abs() - 1).abs().mean() for layer in layers]).mean()


def build_bhvit(name: str, pretrained: bool = False, **kwargs: Any) -> Bhvit:
    """Build a network under a registered name; see `Bhvit` for the arguments."""
    return build_network(Bhvit, name, pretrained, FEATURES, **kwargs)


_TINY = {"depths": (2, 2, 6, 2)}
_MICRO = {
    "patch_size": 2,
    "embed_dims": (32, 64, 128, 256),
    "depths": (2, 2, 4, 2),
    "num_heads": (1, 1, 4, 8),
    "mlp_dims": (128, 256, 512, 1024),
    "window_size": 2,
}
_TEST = {
    "patch_size": 2,
    "embed_dims": (8, 16, 32, 64),
    "depths": (1, 1, 2, 1),
    "num_heads": (1, 1, 2, 4),
    "mlp_dims": (32, 32, 64, 128),
    "window_size": 2,
}
_ODD = _TEST | {
    "patch_size": 4,
    "embed_dims": (12, 36, 36, 108),
    "depths": (1, 1, 2, 1),
    "num_heads": (1, 1, 3, 4),
    "mlp_dims": (36, 72, 36, 324),
    "window_size": (1, 1, 3, 3),
}
_SOMEFP = {"binary_downsampling": False}

VARIANTS = {
    "bhvit_small_patch4_224": Variant(
        "BHViT-Small: widths 64 to 512, 19 blocks; images of a multiple of 224 pixels.", 224, 1000
    ),
    "bhvit_small_patch4_224_somefp": Variant(
        "BHViT-Small with full-precision downsampling; images of a multiple of 224 pixels.", 224, 1000, _SOMEFP
    ),
    "bhvit_tiny_patch4_224": Variant(
        "BHViT-Tiny: widths 64 to 512, 12 blocks; images of a multiple of 224 pixels.", 224, 1000, _TINY
    ),
    "bhvit_tiny_patch4_224_somefp": Variant(
        "BHViT-Tiny with full-precision downsampling; images of a multiple of 224 pixels.", 224, 1000, _TINY | _SOMEFP
    ),
    "bhvit_micro_patch2_32": Variant(
        "BHViT for 32 x 32 images: widths 32 to 256, windows of 2; images of a multiple of 32 pixels.", 32, 10, _MICRO
    ),
    "bhvit_micro_patch4_128": Variant(
        "BHViT for photos at 128 x 128, on a CPU: widths 32 to 256, 5 blocks; images of a multiple of 64 pixels.",
        *(128, 10, _MICRO | {"patch_size": 4, "depths": (1, 1, 2, 1)}),
    ),
    "bhvit_micro_patch2_32_somefp": Variant(
        "The micro size with full-precision downsampling; images of a multiple of 32 pixels.",
        *(32, 10, _MICRO | _SOMEFP),
    ),
    "test_bhvit": Variant("Tiny, for tests: widths 8 to 64, windows of 2.", 32, 10, _TEST),
    "test_bhvit_somefp": Variant("Tiny, with full-precision downsampling.", 32, 10, _TEST | _SOMEFP),
    "test_bhvit_gsb": Variant("Tiny, with GSB attention.", 32, 10, _TEST | {"attention": "banded"}),
    "test_bhvit_recu": Variant("Tiny, with ReCU gradients.", 32, 10, _TEST | {"recu": True}),
    "test_bhvit_odd": Variant("Tiny, with widths that are no multiple of 64, several windows of 3.", 96, 7, _ODD),
    "test_bhvit_convolution": Variant(
        "Tiny, with convolutions in all stages.", 32, 10, _TEST | {"mixer": "convolution"}
    ),
    "test_bhvit_attention": Variant(
        "Tiny, with attention in all stages and average summaries.",
        *(32, 10, _TEST | {"mixer": "attention", "summaries": "average"}),
    ),
    "test_bhvit_binary": Variant("Tiny, with attention of one bit.", 32, 10, _TEST | {"attention": "binary"}),
    "test_bhvit_plain": Variant(
        "Tiny, without shift branches and affine outputs.",
        *(32, 10, _TEST | {"branch_kernels": (), "affine": False}),
    ),
}

register_family(__name__, build_bhvit, VARIANTS, lambda v: model_cfg(v.image_size, v.num_classes, "stem.conv"))
