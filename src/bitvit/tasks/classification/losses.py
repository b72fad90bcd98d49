"""Loss of a classification network: its labels, and its teacher."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F

from bitvit.tasks.distillation import distillation_loss
from bitvit.tasks.settings import Distillation

__all__ = ["Heads", "split_heads", "training_loss"]

Heads = tuple[Tensor, Tensor]


def split_heads(output: Tensor | Heads) -> Heads:
    """Return (class logits, distillation logits) of a model's training output; a model with one head serves both."""
    return (output, output) if isinstance(output, Tensor) else output


def training_loss(
    output: Tensor | Heads,
    targets: Tensor,
    teacher_logits: Tensor | None,
    settings: Distillation,
    class_weights: Tensor | None = None,
) -> Tensor:
    """`L = (1 - lambda) CE(class token, label) + lambda L_dis(distillation token, teacher)`.

    Without a teacher both heads learn the label, since prediction averages them: `L_dis = CE(distillation token,
    label)`. A model with one head learns both terms with it.

    Args:
        output: logits `[B,classes]`, or those of class and distillation token.
        targets: probabilities `[B,classes]` (one-hot, smoothed, or mixed).
        teacher_logits: `[B,classes]`, or None without distillation.
        settings: the recipe's section `distillation`: lambda, kind and temperature.
        class_weights: `[classes]`, factors of the label's terms.

    Source: GSB Eq. 36.
    """
    class_logits, distillation_logits = split_heads(output)
    if class_weights is not None:
        targets = targets * class_weights
    label_loss = F.cross_entropy(class_logits, targets)
    if teacher_logits is not None and settings.kind != "none":
        other = distillation_loss(distillation_logits, teacher_logits, settings.kind, settings.temperature)
    elif isinstance(output, Tensor):
        return label_loss
    else:
        other = F.cross_entropy(distillation_logits, targets)
    return (1 - settings.weight) * label_loss + settings.weight * other
