"""ResNet-18 with binary 3 x 3 convolutions, by six published methods; and its full-precision form for small images.

``{xnor,bireal,irnet,rbnn,recu,reactnet}_resnet18_{224,32}`` (the papers' widths), ``*_resnet18_micro_32`` (widths 16 to
128) and ``test_*_resnet18``; ``resnet18_{224,32,micro_32,micro_128}`` and ``test_resnet18`` are real.
"""

from collections.abc import Callable, Sequence
from typing import Any, Literal, get_args

from torch import Tensor, nn
from torchvision.models.resnet import BasicBlock

from bitvit.charge import Call, Charge, NoOwnWork
from bitvit.errors import UsageError
from bitvit.layers.quant_conv import QuantConv2d
from bitvit.layers.rprelu import RPReLU
from bitvit.models.entrypoints import Variant, build_network, model_cfg, register_family
from bitvit.models.timm_interface import Classifier
from bitvit.quantizers import (
    ActivationEstimator,
    BiRealWeight,
    ChannelSignWeight,
    IrNetSign,
    IrNetWeight,
    RbnnSign,
    RbnnWeight,
    ReactNetSign,
    RecuWeight,
    TriangularSign,
    WeightEstimator,
    XnorNetSign,
    XnorNetWeight,
)

Method = Literal["xnor", "bireal", "irnet", "rbnn", "recu", "reactnet"]
"""Whose estimators a binary convolution uses."""

Estimators = tuple[WeightEstimator, ActivationEstimator]

# By input channels and stride of a 3 x 3 convolution.
_ESTIMATORS: dict[Method, Callable[[int, int], Estimators]] = {
    "xnor": lambda channels, stride: (XnorNetWeight(), XnorNetSign(3, stride, 1)),
    "bireal": lambda channels, stride: (BiRealWeight(), TriangularSign()),
    "irnet": lambda channels, stride: (IrNetWeight(), IrNetSign()),
    "rbnn": lambda channels, stride: (RbnnWeight(9 * channels), RbnnSign()),
    "recu": lambda channels, stride: (RecuWeight(scheduled=True), TriangularSign()),
    # ReActNet's weights are signs of uncentred filters (section 4.1).
    "reactnet": lambda channels, stride: (ChannelSignWeight(centre=False), ReactNetSign(channels)),
}


def binary_conv(in_channels: int, out_channels: int, stride: int, method: Method) -> QuantConv2d:
    """Make a binary 3 x 3 convolution ``[B, C, H, W] -> [B, O, H', W']`` by one of the methods."""
    weight, inputs = _ESTIMATORS[method](in_channels, stride)
    return QuantConv2d(
        *(in_channels, out_channels, 3, stride, 1),
        bias=False,
        weight=weight,
        input=inputs,
        channels_last=False,
        initialize=lambda weight: nn.init.kaiming_normal_(weight, mode="fan_out", nonlinearity="relu"),
    )


class _OneOperationPerOutput(nn.Module):
    def charge(self, call: Call) -> Charge:
        """The residual sum."""
        return Charge(other_flops=call.elements_out)


def _activation(method: Method, channels: int) -> nn.Module:
    if method == "reactnet":
        return RPReLU(channels, channels_last=False)
    if method == "recu":
        return nn.PReLU(channels)
    return nn.Identity() if method == "bireal" else nn.Hardtanh()


def _shortcut(in_channels: int, out_channels: int, stride: int) -> nn.Module:
    """A real 1 x 1 convolution after average pooling where the shape changes, else the identity."""
    if stride == 1 and in_channels == out_channels:
        return nn.Identity()
    return nn.Sequential(
        nn.AvgPool2d(stride, stride) if stride > 1 else nn.Identity(),
        nn.Conv2d(in_channels, out_channels, 1, bias=False),
        nn.BatchNorm2d(out_channels),
    )


class BiRealUnit(_OneOperationPerOutput):
    """One binary convolution with its own shortcut: ``y = act(norm(conv(sign(x))) + shortcut(x))``.

    Shape: ``[B, C, H, W] -> [B, O, H', W']``. Source: Bi-Real Net, section 3.1; act: hardtanh (IR-Net, RBNN), PReLU
    (ReCU), RPReLU (ReActNet), none (Bi-Real Net).
    """

    def __init__(self, in_channels: int, out_channels: int, stride: int, method: Method) -> None:
        super().__init__()
        self.conv = binary_conv(in_channels, out_channels, stride, method)
        self.norm = nn.BatchNorm2d(out_channels)
        self.shortcut = _shortcut(in_channels, out_channels, stride)
        self.act = _activation(method, out_channels)

    def forward(self, x: Tensor) -> Tensor:
        """Run the unit."""
        y: Tensor = self.act(self.norm(self.conv(x)) + self.shortcut(x))
        return y


class XnorBlock(_OneOperationPerOutput):
    """Two binary convolutions under one shortcut: ``y = shortcut(x) + unit(unit(x))``.

    ``unit(x) = relu(conv(sign(norm(x))))``.

    Shape: ``[B, C, H, W] -> [B, O, H', W']``. Source: XNOR-Net, section 3.2 (order norm, sign, convolution, ReLU).
    """

    def __init__(self, in_channels: int, out_channels: int, stride: int) -> None:
        super().__init__()
        self.norm1 = nn.BatchNorm2d(in_channels)
        self.conv1 = binary_conv(in_channels, out_channels, stride, "xnor")
        self.norm2 = nn.BatchNorm2d(out_channels)
        self.conv2 = binary_conv(out_channels, out_channels, 1, "xnor")
        self.act = nn.ReLU()
        self.shortcut = _shortcut(in_channels, out_channels, stride)

    def forward(self, x: Tensor) -> Tensor:
        """Run the block."""
        hidden = self.act(self.conv1(self.norm1(x)))
        y: Tensor = self.act(self.conv2(self.norm2(hidden))) + self.shortcut(x)
        return y


class BinaryResNet(NoOwnWork, Classifier):
    """ResNet with basic blocks; first convolution, shortcuts' 1 x 1 convolutions and last layer are real.

    Args:
        method: whose estimators; None builds the full-precision network (torchvision's blocks).
        widths: channels of the four stages.
        depths: their blocks, of two convolutions each.
        small_images: begin with a 3 x 3 convolution of stride 1, not with 7 x 7, stride 2 and a maximum pooling.
        num_classes: classes; 0 removes the last layer.
        in_chans: image channels.
        img_size: accepted, and of no effect: the network takes any size.
        drop_rate: dropout before the last layer.

    Shape: images ``[B, 3, H, W]`` -> logits ``[B, classes]``.

    Raises:
        UsageError: not four stages.

    Source: Tables I-III of the GSB paper; the methods' papers are in the quantizers' files.
    """

    comparison_only = True
    classifier = "fc"

    def __init__(
        self,
        method: Method | None = "bireal",
        widths: Sequence[int] = (64, 128, 256, 512),
        depths: Sequence[int] = (2, 2, 2, 2),
        small_images: bool = False,
        num_classes: int = 1000,
        in_chans: int = 3,
        img_size: int | Sequence[int] | None = None,
        drop_rate: float = 0.0,
    ) -> None:
        super().__init__()
        self.drop_rate = drop_rate
        if len(widths) != 4 or len(depths) != 4:
            raise UsageError("a ResNet has four stages: give four widths and four depths")
        del img_size
        self.num_classes = num_classes
        self.num_features = self.head_hidden_size = widths[-1]
        kernel, stride = (3, 1) if small_images else (7, 2)
        self.feature_info = [
            {"num_chs": width, "reduction": (1 if small_images else 4) * 2**stage, "module": f"layer{stage + 1}"}
            for stage, width in enumerate(widths)
        ]
        self.conv1 = nn.Conv2d(in_chans, widths[0], kernel, stride, kernel // 2, bias=False)
        self.bn1 = nn.BatchNorm2d(widths[0])
        self.relu = nn.ReLU()
        self.maxpool: nn.Module = nn.Identity() if small_images else nn.MaxPool2d(3, 2, 1)
        channels = widths[0]
        for stage, (width, depth) in enumerate(zip(widths, depths, strict=True), start=1):
            blocks = []
            for index in range(depth):
                blocks.append(_block(channels, width, 2 if stage > 1 and index == 0 else 1, method))
                channels = width
            self.add_module(f"layer{stage}", nn.Sequential(*blocks))
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.fc: nn.Module = nn.Linear(channels, num_classes) if num_classes else nn.Identity()

    def forward_features(self, images: Tensor) -> Tensor:
        """Return the last map."""
        x = self.maxpool(self.relu(self.bn1(self.conv1(images))))
        for stage in range(1, 5):
            x = self.run_blocks(self.get_submodule(f"layer{stage}"), x)
        result: Tensor = x
        return result

    def forward_head(self, x: Tensor, pre_logits: bool = False) -> Tensor:
        """Average the map and classify it."""
        pooled = self.avgpool(x).flatten(1)
        return self.classify(pooled, pre_logits)

    def group_matcher(self, coarse: bool = False) -> dict[str, Any]:
        """Return timm's groups of parameters, for learning rates that fall with the depth."""
        return {"stem": r"^conv1|^bn1", "blocks": r"^layer(\d+)" if coarse else r"^layer(\d+)\.(\d+)"}


def _block(in_channels: int, out_channels: int, stride: int, method: Method | None) -> nn.Module:
    if method == "xnor":
        return XnorBlock(in_channels, out_channels, stride)
    if method is not None:
        return nn.Sequential(
            BiRealUnit(in_channels, out_channels, stride, method),
            BiRealUnit(out_channels, out_channels, 1, method),
        )
    downsample = None
    if stride > 1 or in_channels != out_channels:
        downsample = nn.Sequential(
            nn.Conv2d(in_channels, out_channels, 1, stride, bias=False), nn.BatchNorm2d(out_channels)
        )
    block: nn.Module = BasicBlock(in_channels, out_channels, stride, downsample)
    return block


FEATURES = {"out_indices": (0, 1, 2, 3), "feature_cls": "hook"}


def build_resnet(name: str, pretrained: bool = False, **kwargs: Any) -> BinaryResNet:
    """Build a network under a registered name; see `BinaryResNet` for the arguments."""
    return build_network(BinaryResNet, name, pretrained, FEATURES, **kwargs)


_SIZES: dict[str, tuple[int, int, dict[str, Any]]] = {
    "{}resnet18_224": (224, 1000, {}),
    "{}resnet18_32": (32, 10, {"small_images": True}),
    "{}resnet18_micro_32": (32, 10, {"small_images": True, "widths": (16, 32, 64, 128)}),
    "test_{}resnet18": (16, 10, {"small_images": True, "widths": (8, 8, 16, 16), "depths": (1, 1, 1, 1)}),
}
_METHODS: tuple[Method | None, ...] = (None, *get_args(Method))

VARIANTS = {
    pattern.format("" if method is None else f"{method}_"): Variant(
        f"ResNet-18, {'full precision' if method is None else f'binary by {method}'}, {image_size} pixels.",
        image_size,
        num_classes,
        {"method": method, **shape},
    )
    for method in _METHODS
    for pattern, (image_size, num_classes, shape) in _SIZES.items()
}
VARIANTS["resnet18_micro_128"] = Variant(
    "ResNet-18 with widths 16 to 128, full precision, 128 pixels: a teacher that learns from few photos.",
    *(128, 10, {"method": None, "widths": (16, 32, 64, 128)}),
)

register_family(
    __name__, build_resnet, VARIANTS, lambda v: model_cfg(v.image_size, v.num_classes, "conv1", classifier="fc")
)
