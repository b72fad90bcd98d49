"""BinaryViT: a pyramid of binary attention blocks with pooling branches (2023)."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from bitvit.layers.react_attention import ReactAttention
from bitvit.layers.react_branches import PoolingBranches
from bitvit.layers.react_linear import ReactOptions
from bitvit.layers.token_norm import NormKind
from bitvit.models.entrypoints import Variant, build_network, model_cfg, register_family
from bitvit.models.pyramid import FEATURES, Pyramid, ResidualBlock
from bitvit.quantizers.triangular_sign import SignOfZero


class BinaryVitBlock(ResidualBlock):
    """One block: attention and FFN, each with a residual; pooling branches beside the FFN.

    ``x = x + attention(norm1(x))``; ``h = norm2(x)``; ``x = x + mlp(h) + branches(h)``.

    Args:
        channels: C.
        num_heads: H.
        hidden: width of the FFN.
        reduction: see `ReactAttention`.
        branch_kernels: sizes of the pooling branches, empty for none.
        affine: scale and shift every output (`ChannelAffine`).
        drop_path: probability of stochastic depth.
        options: shared choices of the network.

    Shape: map ``[B, H, W, C] -> [B, H, W, C]``.
    """

    attention: ReactAttention

    def __init__(
        self,
        channels: int,
        num_heads: int,
        hidden: int,
        options: ReactOptions,
        *,
        reduction: int = 1,
        branch_kernels: Sequence[int] = (3, 5),
        affine: bool = True,
        drop_path: float = 0.0,
    ) -> None:
        attention = ReactAttention(channels, num_heads, options, reduction=reduction, affine=affine)
        branches = PoolingBranches(channels, branch_kernels, affine=affine) if branch_kernels else None
        super().__init__(attention, channels, hidden, options, branches=branches, affine=affine, drop_path=drop_path)

    def mix(self, x: Tensor) -> Tensor:
        """Attend over all tokens of a map."""
        size = (x.shape[1], x.shape[2])
        return torch.unflatten(self.attention(x.flatten(1, 2), size), 1, size)


class BinaryVit(Pyramid):
    """BinaryViT, the pyramid of binary attention blocks.

    Image sizes: height and width must be multiples of the stem's patch times every stage's stride and attention
    reduction: multiples of 32 for the published shape.

    Args:
        img_size: height and width of the images.
        patch_size: kernel and stride of the stem.
        in_chans: image channels.
        num_classes: classes; 0 removes the head.
        embed_dims: widths of the stages, each a multiple of the one before.
        depths: blocks of each stage.
        num_heads: attention heads of each stage.
        mlp_dims: FFN widths, multiples of the stage's width.
        reductions: each stage's reduction of keys and values.
        branch_kernels: sizes of the pooling branches; empty for none.
        affine: scale and shift before residual connections and on branches.
        norm: ``"batch"`` (published) or ``"layer"``.
        norm_eps: its epsilon.
        binary_downsampling: False keeps the layers between stages in full precision (``somefp``).
        drop_path_rate: stochastic depth of the last block, rising linearly from 0.
        sign_of_zero: ``"zero"`` for the authors' checkpoints only.

    Raises:
        UsageError: sizes that do not fit each other.

    Source: BinaryViT (docs/models.md, sections 3 and 4).
    """

    stem_gelu = False
    centre_downsampling = False

    def __init__(
        self,
        img_size: int | Sequence[int] = 224,
        patch_size: int = 4,
        in_chans: int = 3,
        num_classes: int = 1000,
        embed_dims: Sequence[int] = (64, 128, 256, 512),
        depths: Sequence[int] = (3, 4, 8, 4),
        num_heads: Sequence[int] = (1, 2, 4, 8),
        mlp_dims: Sequence[int] = (512, 1024, 1024, 2048),
        reductions: Sequence[int] = (8, 4, 1, 1),
        branch_kernels: Sequence[int] = (3, 5),
        affine: bool = True,
        norm: NormKind = "batch",
        norm_eps: float = 1e-5,
        binary_downsampling: bool = True,
        drop_path_rate: float = 0.0,
        sign_of_zero: SignOfZero = "plus",
        recu: bool = False,
        drop_rate: float = 0.0,
    ) -> None:
        options = ReactOptions(norm=norm, norm_eps=norm_eps, recu=recu, sign_of_zero=sign_of_zero)

        def make_block(stage: int, drop_path: float) -> BinaryVitBlock:
            return BinaryVitBlock(
                *(embed_dims[stage], num_heads[stage], mlp_dims[stage], options),
                reduction=reductions[stage],
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
            multiples=reductions,
            binary_downsampling=binary_downsampling,
            drop_path_rate=drop_path_rate,
            drop_rate=drop_rate,
        )


def build_binaryvit(name: str, pretrained: bool = False, **kwargs: Any) -> BinaryVit:
    """Build a network under a registered name; see `BinaryVit` for the arguments."""
    return build_network(BinaryVit, name, pretrained, FEATURES, **kwargs)


_MICRO = {
    "patch_size": 2,
    "embed_dims": (32, 64, 128, 256),
    "depths": (2, 2, 4, 2),
    "num_heads": (1, 2, 4, 8),
    "mlp_dims": (128, 256, 512, 1024),
    "reductions": (4, 2, 1, 1),
}
_TEST = {
    "patch_size": 2,
    "embed_dims": (8, 16, 32, 64),
    "depths": (1, 1, 2, 1),
    "num_heads": (1, 2, 2, 4),
    "mlp_dims": (32, 32, 64, 128),
    "reductions": (4, 2, 1, 1),
}
_ODD = _TEST | {
    "patch_size": 4,
    "embed_dims": (12, 36, 36, 108),
    "depths": (1, 2, 1, 1),
    "num_heads": (1, 3, 2, 4),
    "mlp_dims": (36, 72, 36, 324),
    "reductions": (2, 2, 1, 1),
}
_SOMEFP = {"binary_downsampling": False}

VARIANTS = {
    "binaryvit_small_patch4_224": Variant(
        "BinaryViT-Small: widths 64 to 512, 19 blocks; images of a multiple of 32 pixels.", 224, 1000
    ),
    "binaryvit_small_patch4_224_somefp": Variant(
        "BinaryViT-Small with full-precision downsampling; images of a multiple of 32 pixels.", 224, 1000, _SOMEFP
    ),
    "binaryvit_micro_patch2_32": Variant(
        "BinaryViT for 32 x 32 images: widths 32 to 256, 10 blocks; images of a multiple of 16 pixels.", 32, 10, _MICRO
    ),
    "binaryvit_micro_patch2_32_somefp": Variant(
        "The micro size with full-precision downsampling; images of a multiple of 16 pixels.",
        *(32, 10, _MICRO | _SOMEFP),
    ),
    "test_binaryvit": Variant("Tiny, for tests: widths 8 to 64, 16 x 16 images, last map 1 x 1.", 16, 10, _TEST),
    "test_binaryvit_somefp": Variant("Tiny, with full-precision downsampling.", 16, 10, _TEST | _SOMEFP),
    "test_binaryvit_odd": Variant("Tiny, with widths that are no multiple of 64.", 32, 7, _ODD),
    "test_binaryvit_layer_norm": Variant("Tiny, with LayerNorm for BatchNorm.", 16, 10, _TEST | {"norm": "layer"}),
    "test_binaryvit_plain": Variant(
        "Tiny, without pooling branches and affine outputs: the pyramid alone.",
        *(16, 10, _TEST | {"branch_kernels": (), "affine": False}),
    ),
}

register_family(__name__, build_binaryvit, VARIANTS, lambda v: model_cfg(v.image_size, v.num_classes, "stem.conv"))
