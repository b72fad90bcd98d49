"""Distribution-guided distillation: queries and keys of a Q-ViT follow those of its teacher."""

from __future__ import annotations

from typing import Any

import torch
from timm.layers import Attention
from torch import Tensor, nn

from bitvit.layers.low_bit_attention import LowBitAttention
from bitvit.training.errors import RecipeError

__all__ = ["DistributionGuidance", "paired_layers", "similarity_loss"]


def _normalized_similarity(x: Tensor) -> Tensor:
    """``x x^T / ||x x^T||`` of each head: ``[B, H, N, D] -> [B, H, N, N]``."""
    similarity = x @ x.transpose(-2, -1)
    norm: Tensor = torch.linalg.matrix_norm(similarity, keepdim=True)
    return similarity / norm.clamp_min(torch.finfo(x.dtype).tiny)


def similarity_loss(student: Tensor, teacher: Tensor) -> Tensor:
    """Distance of two activations' similarity matrices: ``sum over heads of ||G_t - G_s||``, the mean over images.

    Args:
        student: queries, keys or values of the student, ``[B, H, N, D]``.
        teacher: those of the teacher, ``[B, H, N, D']``; D' may differ from D.

    Source: Q-ViT, Eq. 11-13.
    """
    difference = _normalized_similarity(student) - _normalized_similarity(teacher)
    distance: Tensor = torch.linalg.matrix_norm(difference)
    return distance.sum(dim=1).mean()


def _tokens(transformer: Any) -> int:
    return int(transformer.patch_embed.num_patches + transformer.num_prefix_tokens)


def paired_layers(student: nn.Module, teacher: nn.Module) -> list[tuple[LowBitAttention, Attention]]:
    """Return the attention layers of which the student's follow the teacher's.

    Raises:
        RecipeError: the two do not fit each other.
    """
    own = [module for module in student.modules() if isinstance(module, LowBitAttention)]
    given = [module for module in teacher.modules() if isinstance(module, Attention)]
    if not own:
        raise RecipeError("distillation.distribution: only Q-ViT models support it; set it to 0 for other students")
    if [layer.num_heads for layer in own] != [layer.num_heads for layer in given]:
        raise RecipeError(
            "distillation.distribution: the teacher's attention layers and heads must be those of the student: "
            "choose a DeiT of the student's shape"
        )
    own_tokens, given_tokens = _tokens(student), _tokens(teacher)
    if own_tokens != given_tokens:
        raise RecipeError(
            f"distillation.distribution: the teacher has {given_tokens} tokens and the student {own_tokens}; they must "
            "be as many: choose a DeiT of the student's patch and image size"
        )
    return list(zip(own, given, strict=True))


class DistributionGuidance:
    """Watches the queries and keys of a student and its teacher during a step.

    ``L_DGD = sum over layers and heads of ||G_q;t - G_q|| + ||G_k;t - G_k||``, ``G = x x^T / ||x x^T||`` (Frobenius
    norms), from the student's rectified and the teacher's plain queries and keys.

    Args:
        student: a model with `LowBitAttention`.
        teacher: a timm vision transformer of as many blocks, heads and tokens.

    Raises:
        RecipeError: the two do not fit each other.

    Source: Li et al., "Q-ViT", NeurIPS 2022, Eq. 11-14. The paper leaves open which norms are meant, and whether images
    are summed or averaged.
    """

    def __init__(self, student: nn.Module, teacher: nn.Module) -> None:
        self._student: dict[tuple[int, str], Tensor] = {}
        self._teacher: dict[tuple[int, str], Tensor] = {}
        for index, (layer, attention) in enumerate(paired_layers(student, teacher)):
            layer.rectify_query.register_forward_hook(self._note(index, "query"))
            layer.rectify_key.register_forward_hook(self._note(index, "key"))
            attention.qkv.register_forward_hook(self._note_teacher(index, attention))

    def _note(self, index: int, kind: str) -> Any:
        def hook(module: nn.Module, inputs: Any, output: Tensor) -> None:
            if torch.is_grad_enabled():
                self._student[index, kind] = output

        return hook

    def _note_teacher(self, index: int, attention: Attention) -> Any:
        def hook(module: nn.Module, inputs: Any, output: Tensor) -> None:
            batch, tokens, _ = output.shape
            parts = output.view(batch, tokens, 3, attention.num_heads, -1).permute(2, 0, 3, 1, 4)
            self._teacher[index, "query"], self._teacher[index, "key"] = parts[0], parts[1]

        return hook

    def loss(self) -> Tensor:
        """The loss of the last step, in which both models have run; forgets what was watched."""
        terms = [similarity_loss(x.float(), self._teacher[key].float()) for key, x in self._student.items()]
        self._student.clear()
        self._teacher.clear()
        return torch.stack(terms).sum()
