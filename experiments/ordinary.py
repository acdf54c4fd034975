"""Ordinary networks as search spaces: which score ranks what practitioners train?

    untrained bench --space ordinary:resnet --images cifar10 --train 24 --training.images 4000

in this folder trains 24 of them and judges scores by their accuracies. `results/ordinary` has the
leaderboards, made by `bash ordinary.sh`.
"""

from torch import Tensor, nn

from untrained import Choose

UNITS = (nn.ReLU, nn.GELU, nn.Tanh)


def resnet(choose: Choose, inputs: int, classes: int) -> nn.Module:
    """With or without skips and normalisation, two or three stages of residual blocks."""
    width = choose.channels(choose("width", (8, 12, 16, 24)))
    unit, norm = choose("unit", UNITS), choose("norm", ("batch", "group", "none"))
    kernel, skip = choose("kernel", (3, 5)), choose("skip", (True, False))
    layers: list[nn.Module] = [nn.Conv2d(inputs, width, 3, padding=1)]
    channels = width
    for stage in range(choose.integer("stages", 2, 3)):
        for block in range(choose.integer("blocks", 1, 3)):
            stride = 2 if stage and not block else 1
            out = width * 2**stage
            layers.append(Block(channels, out, kernel, stride, unit, norm, skip))
            channels = out
    return nn.Sequential(
        *layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, classes)
    )


class Block(nn.Module):
    """Two convolutions, and a skip connection around them."""

    def __init__(
        self,
        inputs: int,
        out: int,
        kernel: int,
        stride: int,
        unit: type[nn.Module],
        norm: str,
        skip: bool,
    ):
        super().__init__()
        first = nn.Conv2d(inputs, out, kernel, stride, kernel // 2, bias=norm == "none")
        second = nn.Conv2d(out, out, kernel, 1, kernel // 2, bias=norm == "none")
        self.branch = nn.Sequential(first, _norm(norm, out), unit(), second, _norm(norm, out))
        same = inputs == out and stride == 1
        self.shortcut = nn.Identity() if same else nn.Conv2d(inputs, out, 1, stride)
        self.skip, self.unit = skip, unit()

    def forward(self, x: Tensor) -> Tensor:
        branch = self.branch(x)
        return self.unit(branch + self.shortcut(x) if self.skip else branch)


def mlp(choose: Choose, inputs: int, classes: int, size: int) -> nn.Module:
    """Fully connected."""
    layers: list[nn.Module] = [nn.Flatten()]
    features = inputs * size * size
    for _ in range(choose.integer("depth", 1, 5)):
        width = choose("width", (16, 32, 64, 128, 256))
        layers += [
            nn.Linear(features, width),
            choose("norm", (nn.Identity, nn.BatchNorm1d))(width),
        ]
        layers.append(choose("unit", UNITS)())
        features = width
    return nn.Sequential(*layers, nn.Linear(features, classes))


def vit(choose: Choose, inputs: int, classes: int, size: int) -> nn.Module:
    """A small vision transformer."""
    patch = choose("patch", (4, 8))
    heads = choose("heads", (1, 2, 4))
    dim = choose("dim", (16, 32, 48, 64))
    hidden = dim * choose("ratio", (1, 2, 4))
    norm_first = choose("norm_first", (True, False))
    layers = [
        nn.TransformerEncoderLayer(
            dim, heads, hidden, 0.0, "gelu", batch_first=True, norm_first=norm_first
        )
        for _ in range(choose.integer("depth", 1, 5))
    ]
    return Tokens(nn.Conv2d(inputs, dim, patch, patch), (size // patch) ** 2, layers, classes)


class Tokens(nn.Module):
    """Patches, their places, layers, and the mean over patches."""

    def __init__(
        self,
        patches: nn.Conv2d,
        count: int,
        layers: list[nn.TransformerEncoderLayer],
        classes: int,
    ):
        super().__init__()
        self.patches, self.layers = patches, nn.Sequential(*layers)
        self.places = nn.Embedding(count, patches.out_channels)
        self.head = nn.Linear(patches.out_channels, classes)

    def forward(self, x: Tensor) -> Tensor:
        tokens = self.patches(x).flatten(2).transpose(1, 2) + self.places.weight
        return self.head(self.layers(tokens).mean(1))


def mobile(choose: Choose, inputs: int, classes: int) -> nn.Module:
    """Inverted bottlenecks, as in MobileNets."""
    width = choose.channels(choose("width", (8, 12, 16, 24)))
    expansion, kernel = choose("expansion", (1, 2, 4, 6)), choose("kernel", (3, 5))
    unit = choose("unit", (nn.ReLU, nn.ReLU6, nn.SiLU))
    layers: list[nn.Module] = [nn.Conv2d(inputs, width, 3, 1, 1), nn.BatchNorm2d(width), unit()]
    channels = width
    for stage in range(choose.integer("stages", 2, 3)):
        for block in range(choose.integer("blocks", 1, 3)):
            stride = 2 if stage and not block else 1
            layers.append(Bottleneck(channels, width * 2**stage, expansion, kernel, stride, unit))
            channels = width * 2**stage
    return nn.Sequential(
        *layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, classes)
    )


class Bottleneck(nn.Module):
    """Pointwise, depthwise, pointwise; with a skip connection where shapes allow it."""

    def __init__(
        self,
        inputs: int,
        out: int,
        expansion: int,
        kernel: int,
        stride: int,
        unit: type[nn.Module],
    ):
        super().__init__()
        inner = inputs * expansion
        self.branch = nn.Sequential(
            nn.Conv2d(inputs, inner, 1, bias=False), nn.BatchNorm2d(inner), unit(),
            nn.Conv2d(inner, inner, kernel, stride, kernel // 2, groups=inner, bias=False),
            nn.BatchNorm2d(inner), unit(),
            nn.Conv2d(inner, out, 1, bias=False), nn.BatchNorm2d(out),
        )  # fmt: skip
        self.skip = inputs == out and stride == 1

    def forward(self, x: Tensor) -> Tensor:
        return self.branch(x) + x if self.skip else self.branch(x)


def _norm(kind: str, channels: int) -> nn.Module:
    if kind == "batch":
        return nn.BatchNorm2d(channels)
    return nn.GroupNorm(4, channels) if kind == "group" else nn.Identity()
