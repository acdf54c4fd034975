"""Networks for 8 x 8 images of one channel and ten classes: healthy ones, and spoiled ones."""

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from zoo import Net

from untrained.spaces import get_space

Made = Callable[[], nn.Module]


def he(network: nn.Module) -> nn.Module:
    """He initialisation, biases of 0."""
    for module in network.modules():
        if isinstance(module, nn.Linear | nn.Conv2d):
            nn.init.kaiming_normal_(module.weight)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
    return network


def mlp(depth: int = 4, act: Made = nn.ReLU, norm: bool = False, width: int = 64) -> nn.Sequential:
    """Layer 1, 3, 5, ... are linear without normalisation; torch's default weights."""
    layers: list[nn.Module] = [nn.Flatten()]
    for _ in range(depth):
        layers += [nn.Linear(width if len(layers) > 1 else 64, width)]
        layers += [nn.BatchNorm1d(width), act()] if norm else [act()]
    return nn.Sequential(*layers, nn.Linear(width, 10))


def cnn() -> nn.Sequential:
    """Convolutions 0, 2, 5 and 7, without normalisation."""
    return nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(16, 16, 3, padding=1),
        nn.ReLU(inplace=True),
        nn.MaxPool2d(2),
        nn.Conv2d(16, 32, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(32, 32, 3, padding=1),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(32, 10),
    )


class Block(nn.Module):
    """Two convolutions with BatchNorm and a skip connection, as functions and as modules."""

    def __init__(self, inputs: int, channels: int, stride: int = 1, last: float = 1.0) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, channels, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)
        self.skip = nn.Identity() if stride == 1 else nn.Conv2d(inputs, channels, 1, stride)
        nn.init.constant_(self.bn2.weight, last)

    def forward(self, x: Tensor) -> Tensor:
        branch = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
        return F.relu(self.skip(x) + branch)


def resnet(last: float = 1.0) -> nn.Sequential:
    """Blocks 3 to 6; `last` is the scale of each branch's last BatchNorm."""
    return nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1, bias=False),
        nn.BatchNorm2d(16),
        nn.ReLU(inplace=True),
        Block(16, 16, last=last),
        Block(16, 16, last=last),
        Block(16, 32, 2, last=last),
        Block(32, 32, last=last),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Dropout(0.2),
        nn.Linear(32, 10),
    )


def depthwise() -> nn.Sequential:
    """A stem and inverted residuals as of MobileNetV2, by He's law of outputs."""

    def inverted(c: int) -> nn.Module:
        h = 4 * c
        body = nn.Sequential(
            *(nn.Conv2d(c, h, 1, bias=False), nn.BatchNorm2d(h), nn.ReLU6()),
            *(nn.Conv2d(h, h, 3, padding=1, groups=h, bias=False), nn.BatchNorm2d(h), nn.ReLU6()),
            *(nn.Conv2d(h, c, 1, bias=False), nn.BatchNorm2d(c)),
        )
        return Net(lambda m, x: x + m.body(x), body=body)

    stem = (nn.Conv2d(1, 16, 3, padding=1, bias=False), nn.BatchNorm2d(16), nn.ReLU6())
    head = (nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16, 10))
    network = nn.Sequential(*stem, inverted(16), inverted(16), *head)
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out")
    nn.init.normal_(head[2].weight, 0, 0.01)  # as torchvision does
    return network


def vit(std: float | None = None, depth: int = 3, d: int = 32) -> nn.Module:
    """Patches of 2 x 2, a class token, pre-norm blocks; weights N(0, std^2) or torch's default."""

    def step(m: Net, x: Tensor) -> Tensor:
        x = m.patches(x).flatten(2).mT
        x = torch.cat([m.token.expand(len(x), -1, -1), x], 1) + m.position
        return m.head(m.norm(m.blocks(x))[:, 0])

    block = nn.TransformerEncoderLayer(
        d, 4, 2 * d, activation="gelu", batch_first=True, norm_first=True
    )
    network = Net(
        step,
        patches=nn.Conv2d(1, d, 2, 2),
        token=torch.zeros(1, 1, d),
        position=0.02 * torch.randn(1, 17, d),
        blocks=nn.TransformerEncoder(block, depth, enable_nested_tensor=False),
        norm=nn.LayerNorm(d),
        head=nn.Linear(d, 10),
    )
    for name, p in network.named_parameters():
        if std is not None and p.ndim > 1 and name.endswith("weight"):
            nn.init.trunc_normal_(p, std=std)
        elif std is not None and name.endswith("bias"):
            nn.init.zeros_(p)
    return network


def cell() -> nn.Module:
    """A cell of NAS-Bench-201 at a small scale."""
    space = get_space("nasbench201")
    text = (
        "|nor_conv_3x3~0|+|avg_pool_3x3~0|nor_conv_1x1~1|+|skip_connect~0|none~1|nor_conv_3x3~2|"
    )
    return space.build(space.parse(text), space.scales["small"], inputs=(1, 32, 32), classes=10)


HEALTHY: dict[str, Made] = {
    "MLP, He": lambda: he(mlp()),
    "MLP of 10 layers, He": lambda: he(mlp(10)),
    "MLP, torch's default": mlp,
    "MLP, tanh": lambda: he(mlp(act=nn.Tanh)),
    "MLP, GELU": lambda: he(mlp(act=nn.GELU)),
    "MLP, one sigmoid": lambda: mlp(1, nn.Sigmoid),
    "CNN without norm, He": lambda: he(cnn()),
    "CNN without norm, torch's default": cnn,
    "ResNet": resnet,
    "ResNet, branches begin at zero": lambda: resnet(0.0),
    "inverted residuals": depthwise,
    "ViT": vit,
    "ViT, weights of 0.02": lambda: vit(0.02, d=64),
    "cell of NAS-Bench-201": cell,
}


def changed(network: nn.Module, name: str, change: Callable[[Tensor], Any]) -> nn.Module:
    """The network, a parameter of which was changed in place."""
    with torch.no_grad():
        change(network.get_parameter(name))
    return network


def times(network: nn.Module, name: str, factor: float | int) -> nn.Module:
    return changed(network, name, lambda p: p.mul_(factor))


def filled(network: nn.Module, name: str, value: float | int) -> nn.Module:
    return changed(network, name, lambda p: p.fill_(value))


def all_times(network: nn.Module, factor: float | int) -> nn.Module:
    for name, p in network.named_parameters():
        if p.ndim > 1:
            times(network, name, factor)
    return network


def residual_mlp(branches: int) -> nn.Module:
    """Residual branches of two layers without normalisation, He."""

    def step(m: Net, x: Tensor) -> Tensor:
        x = m.stem(x.flatten(1))
        for branch in m.branches:
            x = x + branch(x)
        return m.head(x)

    made = (
        nn.Sequential(nn.Linear(32, 32), nn.ReLU(), nn.Linear(32, 32)) for _ in range(branches)
    )
    parts = {"branches": nn.ModuleList(made), "head": nn.Linear(32, 10)}
    return he(Net(step, stem=nn.Linear(64, 32), **parts))


SPOILED: dict[str, tuple[Made, str, str]] = {
    "small": (
        lambda: times(he(mlp()), "5.weight", 0.1),
        "the weights of layer 5 are too small",
        "5",
    ),
    "large": (
        lambda: times(he(mlp()), "5.weight", 10),
        "the weights of layer 5 are too large",
        "5",
    ),
    "small, default": (
        lambda: times(mlp(), "5.weight", 0.1),
        "the weights of layer 5 are too small",
        "5",
    ),
    "large, default": (
        lambda: times(mlp(), "5.weight", 10),
        "the weights of layer 5 are too large",
        "5",
    ),
    "small, CNN": (
        lambda: times(he(cnn()), "5.weight", 0.1),
        "the weights of layer 5 are too small",
        "5",
    ),
    "large, CNN": (
        lambda: times(he(cnn()), "5.weight", 10),
        "the weights of layer 5 are too large",
        "5",
    ),
    "small, before BatchNorm": (
        lambda: times(resnet(), "4.conv1.weight", 0.1),
        "4.conv1.weight is smaller than other weights",
        "4.conv1",
    ),
    "large, before BatchNorm": (
        lambda: times(resnet(), "4.conv1.weight", 10),
        "4.conv1.weight is larger than other weights",
        "4.conv1",
    ),
    "large head": (
        lambda: times(resnet(), "10.weight", 100),
        "the weights of layer 10 are too large",
        "10",
    ),
    "zeros": (lambda: filled(mlp(), "5.weight", 0), "5.weight is all zero", "5"),
    "zeros, CNN": (lambda: filled(he(cnn()), "5.weight", 0), "5.weight is all zero", "5"),
    "head of zeros": (lambda: filled(mlp(), "9.weight", 0), "9.weight is all zero", "9"),
    "constant": (lambda: filled(mlp(), "5.weight", 0.1), "all units of 5.weight are equal", "5"),
    "dead": (lambda: filled(he(mlp()), "5.bias", -10), "dead units at layers 6 and 8", "6"),
    "dead, CNN": (lambda: filled(he(cnn()), "5.bias", -10), "dead units at layers 6 and 8", "6"),
    "saturated": (
        lambda: times(he(mlp(act=nn.Tanh)), "5.weight", 30),
        "saturated units at layer 6",
        "6",
    ),
    "saturated everywhere": (
        lambda: all_times(he(mlp(act=nn.Tanh)), 30),
        "saturated units at layers 2, 4, 6 and 1 more",
        "2",
    ),
    "too deep": (lambda: mlp(50), "gradients vanish over 101 layers", "1"),
    "too deep, sigmoid": (lambda: mlp(10, nn.Sigmoid), "gradients vanish over 21 layers", "1"),
    "too deep, BatchNorm": (
        lambda: mlp(50, norm=True),
        "gradients explode over 151 layers",
        "1",
    ),
    "no norm between branches": (
        lambda: residual_mlp(40),
        "signals explode over 42 layers",
        "stem",
    ),
    "offset": (
        lambda: filled(mlp(act=nn.Identity), "5.bias", 1000),
        "images become the same at layer 5",
        "5",
    ),
    "probabilities": (
        lambda: nn.Sequential(he(mlp()), nn.Softmax(1)),
        "the outputs are probabilities, not logits",
        "1",
    ),
    "unused": (
        lambda: Net(lambda m, x: m.used(x), used=mlp(), forgotten=nn.Linear(3, 3)),
        "never used: forgotten.weight and forgotten.bias",
        "forgotten.weight",
    ),
    "out of reach": (
        lambda: Net(
            lambda m, x: m.after(m.before(x.flatten(1)).detach()),
            before=nn.Linear(64, 32),
            after=nn.Linear(32, 10),
        ),
        "no gradient reaches before.weight and before.bias",
        "before.weight",
    ),
    "NaN in a weight": (
        lambda: filled(resnet(), "4.conv2.weight", float("nan")),
        "4.conv2.weight holds NaN or infinity",
        "4.conv2",
    ),
    "NaN from a logarithm": (
        lambda: Net(
            lambda m, x: m.after(torch.log(m.before(x.flatten(1)))),
            before=nn.Linear(64, 32),
            after=nn.Linear(32, 10),
        ),
        "layer log gives NaN or infinity",
        "log",
    ),
    "NaN in the gradient": (
        lambda: Net(
            lambda m, x: m.after(F.relu(m.before(x.flatten(1))).sqrt()),
            before=nn.Linear(64, 32),
            after=nn.Linear(32, 10),
        ),
        "the gradient becomes NaN or infinite at layer relu",
        "relu",
    ),
    "coupled": (
        lambda: Net(
            lambda m, x: m.head(x.flatten(1) - 3 * x.flatten(1).mean(0).sum()),
            head=nn.Linear(64, 10),
        ),
        "outputs depend mostly on other images",
        "",
    ),
}
"""How a network is spoiled, the title of a finding that must be made, and the first layer that it
names."""
