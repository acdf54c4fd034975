"""A network with what scores of gradients must not trip over, and images for it."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from untrained.images import Probe

CLASSES = 3


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


class Odd(nn.Module):
    """A weight that two calls share, one that is no module's, one that is frozen, one that nothing
    reaches, and activations in place."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(1, 4, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(4)
        self.shared = nn.Conv2d(4, 4, 3, padding=1)
        self.kernel = nn.Parameter(torch.randn(4, 4, 1, 1))
        self.frozen = nn.Conv2d(4, 4, 1).requires_grad_(False)
        self.unreached = nn.Linear(7, 2)
        self.head = nn.Linear(4, CLASSES)

    def forward(self, x: Tensor, outputs: list[Tensor] | None = None) -> Tensor:
        def kept(a: Tensor) -> Tensor:
            if outputs is None:
                return a
            a.retain_grad()
            outputs.append(a)
            return a.clone()

        x = F.relu_(self.norm(kept(self.stem(x))))
        x = F.relu_(kept(self.shared(x)))
        x = F.relu_(kept(self.shared(x)) + x)
        x = F.relu_(kept(F.conv2d(x, self.kernel)))
        x = F.relu_(kept(self.frozen(x)))
        return kept(self.head(x.mean((2, 3))))


def odd() -> Odd:
    torch.manual_seed(0)
    network = Odd()
    with torch.no_grad():
        for p in network.parameters():  # biases of 0 and scales of 1 would hide errors
            p.add_(0.1 * torch.randn_like(p))
    return network.train()


def probe(count: int = 12) -> Probe:
    x = torch.randn(count, 1, 6, 6, generator=generator())
    return Probe(x, torch.arange(count) % CLASSES, CLASSES, "noise")
