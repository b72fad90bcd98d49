"""What timm's users expect of every network: heads, checkpointed blocks, layer groups, other image sizes."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from timm.models import checkpoint_seq
from timm.models.deit import VisionTransformerDistilled
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn

from bitvit.charge import NoOwnWork
from bitvit.errors import UsageError
from bitvit.layers.gsb_linear import step_linear
from bitvit.layers.react_downsampling import PositionEmbedding
from bitvit.models.entrypoints import as_pair, record_input_size
from bitvit.quantizers.estimator import AttentionEstimator

__all__ = ["BinaryDistilledTransformer", "BinaryTransformer", "Classifier", "StackedClassifier", "chosen_stages"]


class Classifier(nn.Module, ABC):
    """A network whose last layer, called ``classifier``, classifies pooled features.

    Attributes:
        num_features: channels of the features.
        num_classes: classes; 0: the network returns features.
        drop_rate: dropout of the features in training.
        grad_checkpointing: whether blocks are computed anew in the backward pass, to save memory.
    """

    classifier = "head"
    num_features: int
    num_classes: int
    drop_rate: float = 0.0
    grad_checkpointing: bool = False

    @abstractmethod
    def forward_features(self, images: Tensor) -> Tensor:
        """Return the normalized features, before pooling."""

    @abstractmethod
    def forward_head(self, x: Tensor, pre_logits: bool = False) -> Tensor:
        """Pool features, and classify them unless ``pre_logits``."""

    def forward(self, images: Tensor) -> Tensor:
        """Return the logits."""
        return self.forward_head(self.forward_features(images))

    def classify(self, pooled: Tensor, pre_logits: bool) -> Tensor:
        """Return the logits of pooled features ``[B, C]``, or the features themselves."""
        if self.training and self.drop_rate:
            pooled = F.dropout(pooled, self.drop_rate)
        if pre_logits:
            return pooled
        result: Tensor = self.get_classifier()(pooled)
        return result

    def run_blocks(self, blocks: nn.Module, x: Tensor) -> Tensor:
        """Run a sequence of blocks; in training with ``grad_checkpointing`` their values are not kept."""
        if self.grad_checkpointing and self.training and torch.is_grad_enabled():
            kept: Tensor = checkpoint_seq(blocks, x)
            return kept
        result: Tensor = blocks(x)
        return result

    def set_grad_checkpointing(self, enable: bool = True) -> None:
        """Choose whether the backward pass computes blocks anew: less memory, about a third more time."""
        self.grad_checkpointing = enable

    def get_classifier(self) -> nn.Module:
        """Return the last layer."""
        return self.get_submodule(self.classifier)

    def reset_classifier(self, num_classes: int, global_pool: str | None = None) -> None:
        """Replace the last layer by a new one for ``num_classes`` classes; 0 removes it."""
        del global_pool
        self.num_classes = num_classes
        like = next(self.parameters())
        new = nn.Linear(self.num_features, num_classes) if num_classes else nn.Identity()
        setattr(self, self.classifier, new.to(device=like.device, dtype=like.dtype))

    def set_input_size(
        self, img_size: int | Sequence[int] | None = None, patch_size: int | Sequence[int] | None = None
    ) -> None:
        """Change the size of the images; what is learned for each position is resampled.

        Raises:
            UsageError: the network cannot take that size, or another patch is asked for.
        """
        refuse_other_patch(patch_size)
        if img_size is not None:
            self.resize(as_pair(img_size))
            if hasattr(self, "pretrained_cfg"):
                record_input_size(self, img_size)

    def resize(self, img_size: tuple[int, int]) -> None:
        """Resample what depends on the size of the images; nothing in a network that takes any size."""


class StackedClassifier(NoOwnWork, Classifier):
    """A classifier whose body is one sequence of blocks or stages, followed by a normalization called ``norm``."""

    body: ClassVar[str]
    """Name of that sequence."""
    output_formats: ClassVar[tuple[str, ...]] = ("NCHW", "NHWC")
    """How features can be laid out; ``"NLC"``: tokens."""
    norm: nn.Module

    @abstractmethod
    def embed(self, images: Tensor) -> Tensor:
        """Return what enters the first part of the body."""

    def run_part(self, part: nn.Module, x: Tensor) -> Tensor:
        """Run one part of the body."""
        result: Tensor = part(x)
        return result

    def normalize(self, index: int, features: Tensor) -> Tensor:
        """Normalize what a part of the body returns, where ``norm`` fits it."""
        del index
        result: Tensor = self.norm(features)
        return result

    @abstractmethod
    def feature_map(self, features: Tensor, output_fmt: str) -> Tensor:
        """Lay out what a part of the body returns, without class tokens, in one of `output_formats`."""

    def forward_intermediates(
        self,
        x: Tensor,
        indices: int | Sequence[int] | None = None,
        norm: bool = False,
        stop_early: bool = False,
        output_fmt: str = "NCHW",
        intermediates_only: bool = False,
    ) -> Any:
        """Return the features of chosen parts of the body, as timm's feature extraction expects.

        Args:
            x: images.
            indices: parts (negative from the end), a number of last parts, or None for all.
            norm: normalize the features (of a pyramid: the last ones).
            stop_early: skip the parts after the last chosen one.
            output_fmt: one of `output_formats`.
            intermediates_only: leave out the final features.

        Raises:
            UsageError: an unknown format or part.
        """
        if output_fmt not in self.output_formats:
            formats = ", ".join(self.output_formats[:-1])
            raise UsageError(f"features come as {formats} or {self.output_formats[-1]}, not {output_fmt!r}")
        parts = getattr(self, self.body)
        wanted = set(chosen_stages(indices, len(parts)))
        found: list[Tensor] = []
        features = self.embed(x)
        for index, part in enumerate(parts):
            if stop_early and index > max(wanted):
                break
            features = self.run_part(part, features)
            if index in wanted:
                found.append(self.feature_map(self.normalize(index, features) if norm else features, output_fmt))
        if intermediates_only:
            return found
        return self.norm(features), found

    def prune_intermediate_layers(
        self, indices: int | Sequence[int] = 1, prune_norm: bool = False, prune_head: bool = True
    ) -> list[int]:
        """Drop what the chosen parts of the body do not need (timm's feature extraction)."""
        parts = getattr(self, self.body)
        chosen = chosen_stages(indices, len(parts))
        setattr(self, self.body, parts[: max(chosen) + 1])
        if prune_norm:
            self.norm = nn.Identity()
        if prune_head:
            self.reset_classifier(0)
        return chosen


def refuse_other_patch(patch_size: Any) -> None:
    """Refuse to change the patches of a network that exists.

    Raises:
        UsageError: a patch size is given.
    """
    if patch_size is not None:
        raise UsageError("the patches of a binary network are fixed: create the model with another patch_size")


def resize_positions(module: nn.Module, sizes: Mapping[str, tuple[int, int]]) -> None:
    """Give position embeddings, by the names of their modules, other sizes."""
    for name, size in sizes.items():
        found = module.get_submodule(name)
        assert isinstance(found, PositionEmbedding)
        found.resize(size)


def chosen_stages(indices: int | Sequence[int] | None, count: int) -> list[int]:
    """Return the stages that timm's feature extraction asks for: all, a number of last ones, or by their numbers.

    Raises:
        UsageError: there is no such stage.
    """
    chosen = list(range(count)) if indices is None else indices
    if isinstance(chosen, int):
        chosen = list(range(count - chosen, count))
    if any(not -count <= index < count for index in chosen):
        raise UsageError(f"stages {list(chosen)}: there are {count}, 0 to {count - 1}")
    return [index % count for index in chosen]


class _BinaryForm(VisionTransformer):  # type: ignore[misc, unused-ignore]
    """What changes in timm's vision transformer when it is binary: heads stay 8-bit, offsets follow the tokens."""

    binarization_scheme: Any
    float_form: ClassVar[type[nn.Module]] = VisionTransformer
    """The class of timm's that this is the binary form of."""

    def set_input_size(
        self, img_size: int | Sequence[int] | None = None, patch_size: int | Sequence[int] | None = None
    ) -> None:
        """Change the size of the images; position embedding and offsets of the attention are resampled.

        Scales and offsets of the attention also follow the number of tokens N, as a row of attention sums to 1.
        Calibrate or train afterwards.

        Raises:
            UsageError: another patch is asked for.
        """
        refuse_other_patch(patch_size)
        if img_size is None:
            return
        before = self.patch_embed.grid_size
        super().set_input_size(img_size=as_pair(img_size))
        for module in self.modules():
            if isinstance(module, AttentionEstimator):
                module.set_tokens(before, self.patch_embed.grid_size, self.num_prefix_tokens)
        if hasattr(self, "pretrained_cfg"):
            record_input_size(self, img_size)

    def reset_classifier(self, num_classes: int, global_pool: str | None = None) -> None:
        """Replace the heads by new ones for ``num_classes`` classes, with the scheme's bits; 0 removes them."""
        super().reset_classifier(num_classes, global_pool)
        if self.binarization_scheme.first_last_bits == 8:
            quantize_heads(self)


class BinaryTransformer(_BinaryForm):
    """A binary vision transformer of timm's."""


class BinaryDistilledTransformer(_BinaryForm, VisionTransformerDistilled):  # type: ignore[misc, unused-ignore]
    """A binary vision transformer of timm's with a distillation token."""

    float_form = VisionTransformerDistilled


def quantize_heads(model: nn.Module) -> None:
    """Give the heads 8-bit weights, in place."""
    for name in ("head", "head_dist"):
        head = getattr(model, name, None)
        if type(head) is nn.Linear:
            setattr(model, name, step_linear(head))
