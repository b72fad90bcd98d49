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
    temperature: float | None = None,
) -> Tensor:
    """`L = (1 - lambda) CE(class token, label) + lambda L_dis(distillation token, teacher)`.

    With ``heads="both"``, L_dis is the mean of that of the distillation token and that of the class token.
    Without a teacher both heads learn the label, since prediction averages them: `L_dis = CE(distillation token,
    label)`. A model with one head learns both terms with it.

    Args:
        output: logits `[B,classes]`, or those of class and distillation token.
        targets: probabilities `[B,classes]` (one-hot, smoothed, or mixed).
        teacher_logits: `[B,classes]`, or None without distillation.
        settings: the recipe's section `distillation`: lambda, kind and temperature.
        class_weights: `[classes]`, factors of the label's terms.
        temperature: of this step; by default the section's.

    Source: GSB Eq. 36.
    """
    class_logits, distillation_logits = split_heads(output)
    if class_weights is not None:
        targets = targets * class_weights
    label_loss = F.cross_entropy(class_logits, targets)
    if teacher_logits is not None and settings.kind != "none":
        softness = settings.temperature if temperature is None else temperature
        other = distillation_loss(distillation_logits, teacher_logits, settings.kind, softness)
        if settings.heads == "both" and not isinstance(output, Tensor):
            other = (other + distillation_loss(class_logits, teacher_logits, settings.kind, softness)) / 2
    elif isinstance(output, Tensor):
        return label_loss
    else:
        other = F.cross_entropy(distillation_logits, targets)
    return (1 - settings.weight) * label_loss + settings.weight * other
