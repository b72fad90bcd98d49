"""The feed-forward part of a transformer block on bits."""

from typing import cast

from torch import Tensor, nn

from bitvit.charge import NoOwnWork
from bitvit.layers.gsb_linear import gsb_linear


class BinaryMlp(NoOwnWork, nn.Module):
    """Two binary linear layers around an activation function.

    A drop-in for timm's ``Mlp``, with the same names of parameters: ``y = fc2(act(fc1(x)))``.

    Args:
        fc1: from C to the hidden channels. Its input is type B (signed).
        fc2: from the hidden channels. Its input is type A (non-negative, after GELU).
        act: the activation function between them, by default GELU.
        drop: dropout rates after the activation function and after fc2.

    Shape: ``[B, N, C] -> [B, N, out_features]``.

    Source: GSB section III-A and Fig. 8b.
    """

    def __init__(
        self, fc1: nn.Module, fc2: nn.Module, act: nn.Module | None = None, drop: tuple[float, float] = (0.0, 0.0)
    ) -> None:
        super().__init__()
        self.fc1 = fc1
        self.act = nn.GELU() if act is None else act
        self.drop1 = nn.Dropout(drop[0])
        self.fc2 = fc2
        self.drop2 = nn.Dropout(drop[1])

    @classmethod
    def of_width(cls, channels: int, hidden: int) -> "BinaryMlp":
        """Make GSB's feed-forward part, with learned scales, of C channels and so many hidden ones."""
        return cls(gsb_linear(channels, hidden), gsb_linear(hidden, channels, input_type="nonnegative"))

    def forward(self, x: Tensor) -> Tensor:
        """Map ``[..., C]`` to ``[..., C']``."""
        y: Tensor = self.drop2(self.fc2(self.drop1(self.act(self.fc1(x)))))
        return y

    def float_twin(self) -> nn.Module:
        """Return timm's MLP of the same sizes."""
        from timm.layers import Mlp

        fc1, fc2 = cast(nn.Linear, self.fc1), cast(nn.Linear, self.fc2)
        return Mlp(
            fc1.in_features,
            fc1.out_features,
            fc2.out_features,
            bias=(fc1.bias is not None, fc2.bias is not None),
        )
