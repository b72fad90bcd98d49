"""Which parameters an optimizer must not decay."""

from torch import nn

_EXEMPT_NAMES = frozenset(
    {
        *("pos_embed", "cls_token", "dist_token", "class_token", "embedding"),
        *("shift", "omega", "offset", "bias"),
    }
)


def no_weight_decay(model: nn.Module) -> set[str]:
    """Names of parameters that weight decay would pull towards a wrong value.

    These are biases, norms, scales, steps and offsets (anything with at most one axis, and the quantizers' shifts and
    offsets of any shape), tokens and position embeddings. What remains are the weights of linear layers and
    convolutions.
    """
    return {
        name
        for name, parameter in model.named_parameters()
        if parameter.ndim <= 1 or name.rpartition(".")[2] in _EXEMPT_NAMES
    }
