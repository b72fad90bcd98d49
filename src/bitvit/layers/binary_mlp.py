"""The feed-forward part of a transformer block on bits."""

from torch import Tensor, nn

from bitvit.layers.binary_linear import BinaryLinear, Statistics, TypeA


class BinaryMlp(nn.Module):
    """Two binary linear layers around an activation function; a drop-in for timm's ``Mlp`` with the same parameter
    names.

    ``y = fc2(act(fc1(x)))``; the input of fc1 is type B (signed), that of fc2 type A (non-negative, after GELU).

    Args:
        in_features: input channels C.
        hidden_features: channels between the two layers.
        out_features: output channels, by default C.
        statistics: source of the inputs' translation and scale.
        type_a: binarization of fc2's input.
        bias: real-valued biases of fc1 and fc2.
        act_layer: the activation function between them.
        drop: dropout rates after the activation function and after fc2.

    Shape: ``[B, N, C] -> [B, N, out_features]``.

    Source: GSB section III-A and Fig. 8b.
    """

    def __init__(
        self,
        in_features: int,
        hidden_features: int,
        out_features: int | None = None,
        statistics: Statistics = "learned",
        type_a: TypeA = "round",
        bias: tuple[bool, bool] = (True, True),
        act_layer: type[nn.Module] = nn.GELU,
        drop: tuple[float, float] = (0.0, 0.0),
    ) -> None:
        super().__init__()
        self.fc1 = BinaryLinear(in_features, hidden_features, bias=bias[0], statistics=statistics)
        self.act = act_layer()
        self.drop1 = nn.Dropout(drop[0])
        self.fc2 = BinaryLinear(
            hidden_features, out_features or in_features, bias[1], "nonnegative", statistics, type_a
        )
        self.drop2 = nn.Dropout(drop[1])

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.drop2(self.fc2(self.drop1(self.act(self.fc1(x)))))
        return y
