"""ReActDeiT: a DeiT-shaped binary network, the starting point of BinaryViT and of its ablation."""

from collections.abc import Sequence
from typing import Any, Literal

import torch
import torch.nn.functional as F
from timm.layers import PatchEmbed
from torch import Tensor, nn

from bitvit.errors import UsageError
from bitvit.layers.maps import channels_first
from bitvit.layers.react_attention import ReactAttention
from bitvit.layers.react_branches import PoolingBranches
from bitvit.layers.react_downsampling import PositionEmbedding
from bitvit.layers.react_linear import ReactOptions
from bitvit.layers.token_norm import NormKind
from bitvit.models.entrypoints import Variant, as_pair, build_network, model_cfg, register_family
from bitvit.models.pyramid import ResidualBlock, rising_rates
from bitvit.models.timm_interface import StackedClassifier
from bitvit.quantizers.triangular_sign import SignOfZero


class ReactBlock(ResidualBlock):
    """One block on tokens: attention and FFN, each with a residual; optional pooling branches beside the FFN.

    Branches see the patch tokens as a map; class tokens in front receive nothing from them.

    Args:
        channels: C.
        num_heads: H.
        hidden: width of the FFN.
        size: height and width of the map of patch tokens.
        branch_kernels: sizes of the pooling branches, empty for none.
        affine: scale and shift every output.
        drop_path: probability of stochastic depth.
        options: shared choices of the network.

    Shape: tokens ``[B, N, C] -> [B, N, C]``.
    """

    attention: ReactAttention

    def __init__(
        self,
        channels: int,
        num_heads: int,
        hidden: int,
        size: tuple[int, int],
        options: ReactOptions,
        *,
        branch_kernels: Sequence[int] = (),
        affine: bool = False,
        drop_path: float = 0.0,
    ) -> None:
        attention = ReactAttention(channels, num_heads, options, affine=affine)
        branches = PoolingBranches(channels, branch_kernels, affine=affine) if branch_kernels else None
        super().__init__(attention, channels, hidden, options, branches=branches, affine=affine, drop_path=drop_path)
        self.size = size

    def mix(self, x: Tensor) -> Tensor:
        """Attend over all tokens."""
        result: Tensor = self.attention(x, self.size)
        return result

    def branch(self, h: Tensor, branches: nn.Module) -> Tensor:
        """Run the branches on the map of patch tokens; class tokens in front get zeros."""
        extra = h.shape[1] - self.size[0] * self.size[1]
        pooled = branches(torch.unflatten(h[:, extra:], 1, self.size)).flatten(1, 2)
        return F.pad(pooled, (0, 0, extra, 0))


def patch_grid(img_size: tuple[int, int], patch_size: int) -> tuple[int, int]:
    """Return height and width of the map of patches.

    Raises:
        UsageError: the image cannot be cut into whole patches.
    """
    height, width = img_size
    if height % patch_size or width % patch_size:
        raise UsageError(f"an image of {height} x {width} cannot be cut into patches of {patch_size}")
    return height // patch_size, width // patch_size


class ReactDeit(StackedClassifier):
    """A binary vision transformer of DeiT's shape with BinaryViT's binary layers.

    The switches lead from the baseline to BinaryViT's blocks one at a time: ``global_pool="avg"`` (average-pooling
    head), ``branch_kernels=(3, 5)`` (pooling branches), ``affine=True`` (LayerScale); the last step, the pyramid, is
    `BinaryVit`.

    Image sizes: height and width must be multiples of the patch.

    Args:
        img_size: height and width of the images.
        patch_size: kernel and stride of the stem.
        in_chans: image channels.
        num_classes: classes; 0 removes the head.
        embed_dim: C.
        depth: number of blocks.
        num_heads: H.
        mlp_dim: width of the FFN, a multiple of C.
        global_pool: ``"token"``: a class token feeds the head; ``"avg"``: no class token, the head sees the mean.
        branch_kernels: see `BinaryVit`.
        affine: see `BinaryVit`.
        norm: see `BinaryVit`.
        norm_eps: see `BinaryVit`.
        recu: see `BinaryVit`.
        drop_path_rate: see `BinaryVit`.
        sign_of_zero: see `BinaryVit`.
        drop_rate: see `BinaryVit`.

    Shape: images ``[B, 3, H, W]`` -> logits ``[B, classes]``.

    Raises:
        UsageError: sizes that do not fit each other.

    Source: the baseline of BinaryViT (docs/models.md, section 4).
    """

    body = "blocks"
    output_formats = ("NCHW", "NHWC", "NLC")

    def __init__(
        self,
        img_size: int | Sequence[int] = 224,
        patch_size: int = 16,
        in_chans: int = 3,
        num_classes: int = 1000,
        embed_dim: int = 384,
        depth: int = 12,
        num_heads: int = 6,
        mlp_dim: int = 1536,
        global_pool: Literal["token", "avg"] = "token",
        branch_kernels: Sequence[int] = (),
        affine: bool = False,
        norm: NormKind = "batch",
        norm_eps: float = 1e-5,
        recu: bool = False,
        drop_path_rate: float = 0.0,
        sign_of_zero: SignOfZero = "plus",
        drop_rate: float = 0.0,
    ) -> None:
        super().__init__()
        height, width = as_pair(img_size)
        size = patch_grid((height, width), patch_size)
        if global_pool not in ("token", "avg"):
            raise UsageError(f"global_pool is 'token' or 'avg', not {global_pool!r}")
        options = ReactOptions(norm=norm, norm_eps=norm_eps, recu=recu, sign_of_zero=sign_of_zero)
        self.options = options
        self.patch_size = patch_size
        self.drop_rate = drop_rate
        self.num_classes = num_classes
        self.feature_info = [
            {"num_chs": embed_dim, "reduction": patch_size, "module": f"blocks.{index}"} for index in range(depth)
        ]
        self.num_features = self.head_hidden_size = embed_dim
        self.global_pool = global_pool
        self.patch_embed = PatchEmbed((height, width), patch_size, in_chans, embed_dim)
        self.class_token = nn.Parameter(torch.zeros(1, 1, embed_dim)) if global_pool == "token" else None
        self.position = PositionEmbedding(size, embed_dim, extra_tokens=int(global_pool == "token"))
        rates = rising_rates(drop_path_rate, depth)
        self.blocks = nn.Sequential(
            *(
                ReactBlock(
                    embed_dim,
                    num_heads,
                    mlp_dim,
                    size,
                    options,
                    branch_kernels=branch_kernels,
                    affine=affine,
                    drop_path=rate,
                )
                for rate in rates
            )
        )
        self.norm = options.make_norm(embed_dim)
        self.head: nn.Module = nn.Linear(embed_dim, num_classes) if num_classes else nn.Identity()
        if self.class_token is not None:
            nn.init.trunc_normal_(self.class_token, std=0.02)

    def embed(self, images: Tensor) -> Tensor:
        """Return the tokens that enter the first block, ``[B, N, C]``."""
        x = self.patch_embed(images)
        if self.class_token is not None:
            x = torch.cat([self.class_token.expand(len(x), -1, -1), x], dim=1)
        result: Tensor = self.position(x)
        return result

    def feature_map(self, features: Tensor, output_fmt: str) -> Tensor:
        """Lay out the patch tokens."""
        patches = features[:, int(self.class_token is not None) :]
        if output_fmt == "NLC":
            return patches
        grid = torch.unflatten(patches, 1, self.position.size)
        return channels_first(grid) if output_fmt == "NCHW" else grid

    def forward_features(self, images: Tensor) -> Tensor:
        """Return the normalized tokens, ``[B, N, C]``."""
        result: Tensor = self.norm(self.run_blocks(self.blocks, self.embed(images)))
        return result

    def forward_head(self, x: Tensor, pre_logits: bool = False) -> Tensor:
        """Take the class token or the tokens' mean, and classify it."""
        pooled = x[:, 0] if self.class_token is not None else x.mean(dim=1)
        return self.classify(pooled, pre_logits)

    def resize(self, img_size: tuple[int, int]) -> None:
        """Resample the position embedding."""
        size = patch_grid(img_size, self.patch_size)
        self.patch_embed.set_input_size(img_size=img_size)
        self.position.resize(size)
        for block in self.blocks:
            assert isinstance(block, ReactBlock)
            block.size = size

    def group_matcher(self, coarse: bool = False) -> dict[str, Any]:
        """Return timm's groups of parameters, for learning rates that fall with the depth."""
        del coarse
        return {
            "stem": r"^class_token|^position|^patch_embed",
            "blocks": [(r"^blocks\.(\d+)", None), (r"^norm", (99999,))],
        }

    def no_weight_decay(self) -> set[str]:
        """Return the names of parameters that weight decay spares."""
        return {"class_token", "position.embedding"}


def build_reactdeit(name: str, pretrained: bool = False, **kwargs: Any) -> ReactDeit:
    """Build a network under a registered name; see `ReactDeit` for the arguments.

    Ablation rows are arguments: ``global_pool="avg"``, ``branch_kernels=(3, 5)``, ``affine=True``; the pyramid is
    `bitvit.models.binaryvit`.
    """
    features = {"out_indices": min(3, kwargs.get("depth", 12)), "feature_cls": "getter"}
    return build_network(ReactDeit, name, pretrained, features, **kwargs)


_MICRO = {"patch_size": 4, "embed_dim": 96, "depth": 4, "num_heads": 3, "mlp_dim": 384}
_TEST = {"patch_size": 4, "embed_dim": 32, "depth": 2, "num_heads": 2, "mlp_dim": 128}
_ODD = {"patch_size": 5, "embed_dim": 36, "depth": 2, "num_heads": 3, "mlp_dim": 108}
_ALL = {"global_pool": "avg", "branch_kernels": (3, 5), "affine": True}

VARIANTS = {
    "reactdeit_small_patch16_224": Variant(
        "ReActDeiT of DeiT-Small's shape: 384 channels, 12 blocks; images of a multiple of 16 pixels.", 224, 1000
    ),
    "reactdeit_micro_patch4_32": Variant(
        "ReActDeiT for 32 x 32 images: 96 channels, 4 blocks; images of a multiple of 4 pixels.", 32, 10, _MICRO
    ),
    "test_reactdeit": Variant("Tiny, for tests: 32 channels, 2 blocks.", 16, 10, _TEST),
    "test_reactdeit_odd": Variant("Tiny, with widths that are no multiple of 64.", 20, 7, _ODD),
    "test_reactdeit_avg": Variant("Tiny, with an average-pooling head.", 16, 10, _TEST | {"global_pool": "avg"}),
    "test_reactdeit_all": Variant("Tiny, with every switch on but the pyramid.", 16, 10, _TEST | _ALL),
}

register_family(
    __name__, build_reactdeit, VARIANTS, lambda v: model_cfg(v.image_size, v.num_classes, "patch_embed.proj")
)
